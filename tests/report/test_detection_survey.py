"""The report on images with boxes tells all that was found; its commands fit objects and images."""

import re
import shlex

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_coco, write_voc

from denet.cli.train import parser
from denet.dataset.base import BadSample
from denet.dataset.image.boxes import Boxes
from denet.dataset.survey.boxes import DetectionSplit, DetectionSurvey, survey_detection
from denet.model.desc import parse_desc
from denet.report import detection_advice
from denet.report.detection_survey import detection_report
from denet.report.detector_choice import choose_detector

LABELS = ["cat", "dog"]


def train_command(found, **options):
    return detection_advice.train_command(found, choose_detector(found), **options)


def predict_command(found):
    return detection_advice.predict_command(found, choose_detector(found))


def hints(found):
    return list(detection_advice.hints(found, choose_detector(found)))


def split(name, boxes, size=(640, 480), told=None, **options):
    """Return a split of images of one size; boxes: image -> (class, x0, y0, x1, y1)s."""
    rows = [(image, *box) for image, each in enumerate(boxes) for box in each]
    table = np.array(rows, np.float64).reshape(-1, 6)
    number = len(boxes)
    files = [f"my photos/JPEGImages/{name}{image}.jpg" for image in range(number)]
    settings = {"digests": files, "new": np.ones(number, bool), "bad": []} | options
    settings.setdefault("stored", np.zeros(number, bool))
    crowd = settings.pop("crowd", None)
    return DetectionSplit(
        name,
        LABELS,
        files,
        np.tile(size, (number, 1)),
        np.tile(told or size, (number, 1)),
        Boxes.gather(number, table[:, 0], table[:, 2:], table[:, 1], crowd=crowd),
        **settings,
    )


def survey(*splits, train=("train",), test=(), kind="voc", **options):
    return DetectionSurvey(
        "my photos", kind, LABELS, list(splits), list(train), list(test), **options
    )


def one(sides, images=1, size=(640, 480), most=1, **options):
    """Return a survey of images with ``most`` square objects each."""
    objects = [(0, 0, 0, side, side) for side in np.broadcast_to(sides, most)]
    return survey(split("train", [objects] * images, size), **options)


PHOTOS = survey(
    split(
        "train",
        [
            [(0, 0, 0, 30, 30), (0, 0, 0, 10, 40), (0, 5, 5, 5, 9), (1, 0, 0, 90, 90)],
            [(0, 600, 400, 660, 450), (0, 700, 0, 710, 9)],
            [(0, 0, 0, 50, 50), (0, 0, 0, 60, 60), (1, 0, 0, 640, 480), (1, 0, 0, 12, 12)],
            [],
        ],
        stored=np.array([False, True, False, True]),
        crowd=[0] * 8 + [1, 0],
        bad=[BadSample("my photos/JPEGImages/x.jpg", "not an image")],
    ),
    split("test", [[(1, 0, 0, 20, 20)]], told=(320, 240)),
    test=["test"],
    modes={"RGB": 5},
    turned=3,
    unlisted=["my photos/JPEGImages/y.jpg"],
    unused=["cat_train"],
    seconds=1.25,
)
PHOTOS_REPORT = """\
my photos: 5 images, 8 objects in 2 classes, --extension voc, looked at in 1.2 s

objects in images             train    test
cat                          5 in 3       0
dog                          2 in 2  1 in 1
objects                           7       1
crowd boxes                       1       0
images                            4       1
  without objects                 1       0
objects of the median image       2       1
objects of the most crowded       3       1

pixels (root of the area)  smallest  median  largest  median at 320x240
cat                              20      45       60                 22
dog                              12      20       90                 10

sizes  640x480 (5)
modes  RGB (5)
EXIF   3 stored lying or mirrored, read upright; in 2 of them boxes mean the pixels as they are \
stored, by the width and height beside them, and are turned too

problems:
  1 of 6 images cannot be read; the command below leaves them out:
    my photos/JPEGImages/x.jpg: not an image
  1 class only in train: cat
  1 class with fewer than 5 objects to train on: dog
  boxes without area, which are left out: 1
    my photos/JPEGImages/train0.jpg (640x480): cat from 6,6 to 6,9, a click: its corners coincide
  boxes outside their image, which are left out: 1
    my photos/JPEGImages/train1.jpg (640x480): cat from 700,0 to 710,9
  boxes clipped to their image: 1, such as my photos/JPEGImages/train1.jpg (640x480): \
cat from 600,400 to 660,450
  images of another size than annotated: 1, such as my photos/JPEGImages/test0.jpg
  images beside those of the splits, or without annotation: 1, such as my photos/JPEGImages/y.jpg
  splits not looked at: cat_train

start with:
"""


def words(command):
    return shlex.split(command.replace("\\\n", ""))


def value(command, option):
    given = words(command)
    return given[given.index(option) + 1] if option in given else None


def test_boxes_without_area_are_told_as_the_file_has_them(tmp_path):
    boxes = [(40, 35, 10, 5), (30, 5, 20, 25), (7, 8, 7, 8), (7, 8, 7, 12), (1, 1, 30, 30)]
    objects = [object_xml(box=box) for box in boxes]
    write_voc(tmp_path / "voc", {"a": voc_xml(*objects, size=(60, 50))}, size=(60, 50))
    report = detection_report(survey_detection(str(tmp_path / "voc"), "voc,train"))
    assert "boxes without area, which are left out: 4" in report
    assert "cat from 40,35 to 10,5, its corners are swapped\n" in report
    assert "cat from 30,5 to 20,25, its corners are swapped\n" in report
    assert "cat from 7,8 to 7,8, a click: its corners coincide\n" in report
    assert "cat from 7,8 to 7,12, a click: its corners coincide\n" in report


def test_what_is_listed_twice_is_told(tmp_path):
    """An object of a photo, and a photo of COCO under two numbers."""
    twice = voc_xml(object_xml("cat"), object_xml("dog"), object_xml("cat"))
    write_voc(tmp_path / "voc", {"a": twice, "b": voc_xml(object_xml("cat"))})
    found = survey_detection(str(tmp_path / "voc"), "voc,train")
    assert [(each.class_label, each.corners) for each in found.splits[0].repeated()] == [
        ("cat", (0, 0, 5, 5))
    ]
    report = detection_report(found)
    told = "objects listed more than once, each mention counts: 1, such as "
    assert f"{told}{tmp_path}/voc/JPEGImages/a.jpg (20x10): cat from 0,0 to 5,5\n" in report
    assert "one split lists" not in report
    boxes = [{"image_id": n, "category_id": 1, "bbox": [0, 0, 5, 5]} for n in (1, 2)]
    content = {
        "images": [{"id": number, "file_name": "a.jpg"} for number in (1, 2)],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "cat"}],
    }
    write_coco(tmp_path / "coco", content)
    report = detection_report(survey_detection(str(tmp_path / "coco"), "mscoco,train"))
    told = "images that one split lists more than once: 1, such as "
    assert f"{told}{tmp_path}/coco/train/a.jpg\n" in report
    assert "objects listed" not in report  # those of another image of COCO


def test_names_that_no_class_can_have_are_a_problem(tmp_path):
    write_voc(tmp_path / "voc", {"a": voc_xml(object_xml("red&#10;cell"), object_xml())})
    report = detection_report(survey_detection(str(tmp_path / "voc"), "voc,train"))
    assert r"wrong class labels" in report and r"'red\ncell' is empty or has control" in report
    assert "wrong class labels" not in detection_report(PHOTOS)


def test_whole_report():
    """Sides: cats 30, 20, 44.7 (40x50 is left of one), 50, 60, dogs 90, 12, 20."""
    report = detection_report(PHOTOS)
    assert report.startswith(PHOTOS_REPORT)
    assert report.endswith(f"{train_command(PHOTOS)}\n\n{predict_command(PHOTOS)}")


def test_commands_for_photos():
    train, predict = train_command(PHOTOS), predict_command(PHOTOS)
    view = "crop_mode=denet,area_min=0.25,augment_photo"
    assert words(train)[:3] == ["model-train", "--train", "my photos"]
    assert value(train, "--extension") == f"voc,train,crop=320x240,{view}"
    assert value(train, "--test-extension") == "voc,test,crop=320x240"
    assert value(train, "--output-prefix") == "run/my photos"
    for command in (train, predict):
        assert value(command, "--on-bad-data") == "skip"
    assert value(predict, "--predict-mode") == "detect,voc,image"
    assert value(predict, "--model") == "run/my photos_epoch500_final.mdl"
    assert value(predict, "--extension") == "voc,test,crop=320x240"
    options = parser().parse_args(words(train)[1:])
    assert options.learn_cosine and (options.epochs, options.test_epochs) == (500, 10)
    names = [each.symbol for each in parse_desc(" ".join(options.model_desc))]
    assert names[-1] == "DND" and {"DNC", "DNS"} < set(names)


@pytest.mark.parametrize(
    "size, side, wanted",
    [
        ((640, 480), 200, (256, 192)),  # large objects: sides are multiples of 32
        ((640, 480), 100, (320, 240)),  # of 16
        ((128, 128), 30, (128, 128)),  # small images keep their size
        ((4000, 3000), 800, (320, 240)),
        ((4000, 3000), 1000, (256, 192)),
        ((800, 533), 300, (256, 160)),
        ((500, 375), 100, (320, 240)),
        ((480, 640), 100, (240, 320)),
        ((1280, 720), 40, (512, 288)),  # at 2/5 the objects have 16 pixels
        ((4000, 3000), 40, (640, 480)),  # they would have them at 1600
        ((100, 100), 8, (192, 192)),  # twice, to a multiple of 16: 200 / 16 = 12.5, which is even
        ((20, 10), 20, (32, 32)),
    ],
)
def test_network_size(size, side, wanted):
    assert choose_detector(one(side, size=size)).size == wanted


def test_given_crop_is_taken_where_the_network_can():
    command = train_command(one(100, crop=(100, 50)))
    assert ",crop=96x48," in value(command, "--extension")


def test_images_of_other_shapes_are_tested_whole():
    found = survey(
        split("train", [[(0, 0, 0, 90, 90)]] * 2),
        split("test", [[(0, 0, 0, 90, 90)]], (480, 640)),
        test=["test"],
    )
    command = train_command(found)
    assert value(command, "--test-extension") == "voc,test,crop=320x240,scale_mode=large"
    # of the photos that are trained on, too: their precision is told beside that of the test
    assert value(command, "--extension").startswith("voc,train,crop=320x240,scale_mode=large,")


@pytest.mark.parametrize("most, samples", [(1, 17), (30, 27), (68, 28), (500, 28)])
def test_samples_follow_crowded_images(most, samples):
    """242 prior boxes and 16 for each object: 722 fit into 27x27."""
    command = train_command(one(70, most=most))
    assert int(re.search(r"DNS\.P\[5,(\d+),", command)[1]) == samples


def test_one_crowded_image_of_many_does_not_count():
    few, many = [(0, 0, 0, 70, 70)], [(0, 0, 0, 70, 70)] * 100
    command = train_command(survey(split("train", [many] + [few] * 39)))
    assert "DNS.P[5,17," in command


def test_size_follows_each_object_in_its_own_image():
    """Photos of few large objects do not make the small ones of other photos smaller."""
    large = split("train", [[(0, 0, 0, 1000, 1000)]] * 11, (4000, 3000))
    small = split("extra", [[(0, 0, 0, 60, 60)] * 10] * 10)
    found = survey(large, small, train=["train", "extra"])
    assert choose_detector(found).size == (320, 240)


def test_head_is_as_wide_as_there_are_classes(monkeypatch):
    assert "C.B[128,1] BNA C.B[128,1] BNA DND" in train_command(one(50))
    found = one(50)
    found.class_labels = [f"class {number}" for number in range(200)]
    assert "C.B[256,1] BNA C.B[256,1] BNA DND" in train_command(found)


@pytest.mark.parametrize(
    "images, epochs, warmup",
    [(3, 500, "2"), (132, 454, "2"), (292, 205, "2"), (4000, 15, "1.5"), (30_000, 12, "0.27")],
)
def test_epochs(images, epochs, warmup):
    """2 epochs, but 1000 steps of 8 images at most, and a tenth of all."""
    command = train_command(one(50, images))
    assert value(command, "--epochs") == str(epochs)
    assert value(command, "--learn-warmup") == warmup


@pytest.mark.parametrize("side, mosaic", [(63, False), (64, True), (300, True)])
def test_mosaics_and_prior_boxes_where_objects_are_not_small(side, mosaic):
    """At 320x240, half of the size: from 32 pixels on."""
    found = one(side)
    assert (",4]" in train_command(found)) == mosaic
    assert value(train_command(found), "--extension").endswith(",mosaic=0.5") == mosaic
    assert any(line.startswith("(no mosaics") for line in hints(found)) != mosaic


def test_bf16_where_the_processor_has_it():
    assert value(train_command(one(50)), "--precision") is None
    assert value(train_command(one(50), bf16=True), "--precision") == "bf16"


def test_small_inputs_have_larger_batches():
    assert value(train_command(one(50)), "--batch-size") == "8"
    assert value(train_command(one(50, size=(128, 128))), "--batch-size") == "16"


@pytest.mark.parametrize("images, share", [(19, None), (20, "0.5"), (50, "0.2"), (400, "0.1")])
def test_without_test_set(images, share):
    """Some are held out, ten at least: of fewer no precision can be told."""
    found = one(50, images, train=["all"])
    found.splits[0].name = "all"
    train, predict, report = train_command(found), predict_command(found), detection_report(found)
    assert value(train, "--test") is None and value(train, "--val-split") == share
    assert (value(train, "--test-epochs") is None) == (share is None)
    assert value(train, "--extension").startswith("voc,crop=320x240,")
    assert value(predict, "--predict-mode") == "detect,image"  # no precision of trained images
    assert any(line.startswith("(too few images") for line in hints(found)) == (share is None)
    assert "--extension voc,split=0.8 trains on that share of them and tests on" in report


def test_foreign_test_classes_leave_the_test_out():
    found = survey(
        split("train", [[(0, 0, 0, 90, 90)]]), split("val", [[(1, 0, 0, 9, 9)]]), test=["val"]
    )
    assert value(train_command(found), "--test") is None
    report = detection_report(found)
    assert "1 class only in val: dog; --test is left out below" in report


def test_small_crowded_and_shared():
    objects = [(0, 0, 0, 9, 9)] * 129
    found = survey(
        split("train", [objects], (2000, 2000)),
        split("test", [objects], (2000, 2000), digests=["my photos/JPEGImages/train0.jpg"]),
        split("extra", [[]], (2000, 2000)),
        test=["test"],
    )
    report = detection_report(found)
    for line in (
        "small objects: half of them have sides below 3 pixels at 640x640",
        "images of more than 128 objects, the largest are trained on: 2, such as my photos",
        "test images that are trained on too: 1, such as my photos/JPEGImages/test0.jpg = my",
        "no boxes in extra: it is left out",
    ):
        assert f"\n  {line}" in report


@pytest.mark.parametrize(
    ("extra", "options", "told"),
    [
        ({}, {"train": ["test"]}, True),
        ({"train": []}, {"train": ["test"]}, True),
        ({"train": [[(0, 0, 0, 90, 90)]]}, {"test": ["test"]}, False),
        ({"night": [[(0, 0, 0, 90, 90)]]}, {"train": ["test", "night"]}, False),
    ],
)
def test_training_on_what_is_to_test_is_told(extra, options, told):
    others = [split(name, boxes) for name, boxes in extra.items()]
    report = detection_report(survey(*others, split("test", [[(0, 0, 0, 90, 90)]]), **options))
    line = "\n  trained on below, as no other split looked at has objects: test\n"
    assert (line in report) == told
