"""Labels of what is found: read again by this toolkit, and by hand."""

import json

import numpy as np
import pytest
import yaml
from evaluate.boxed import detections
from PIL import Image

from denet.dataset import open_dataset
from denet.errors import UsageError
from denet.predict.detect import Found
from denet.predict.label_files import LabelFiles
from denet.predict.loose import Files, Held

LABELS = ["traffic light", 'cat: "x" & <y>', "dog"]
FOUND = detections(
    [
        (0, 1, 0.9, (10.25, 5.5, 30.75, 20)),
        (0, 0, 0.5, (0, 0, 40, 30)),
        (0, 2, 0.1, (1, 1, 2, 2)),  # hardly found
        (2, 2, 0.7, (0, 0, 30, 40)),
    ]
)
SIZES = [(40, 30), (8, 8), (30, 40)]


@pytest.fixture
def photos(tmp_path):
    """Return three images, two of one name; the last is turned by EXIF."""
    paths = [tmp_path / name for name in ("in/a.png", "in/more/b.jpg", "in/more/a.jpg")]
    for path, size in zip(paths, [(40, 30), (8, 8), (40, 30)], strict=True):
        path.parent.mkdir(exist_ok=True, parents=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if path == paths[2] else 1
        Image.new("RGB", size, (9, 8, 7)).save(path, exif=exif)
    return [str(path) for path in paths]


def written(layout, directory, loose):
    sink = LabelFiles(layout, directory, loose, LABELS, least_score=0.25)
    for index, own in enumerate(FOUND.by_image(3)):
        sink.add(Found(loose.names[index], own, index, SIZES[index]))
    sink.finish()


@pytest.mark.parametrize(
    "layout, extension, exact",
    [
        ("voc", "voc", False),
        ("coco", "mscoco,all", True),
        ("yolo", "yolo,train", True),
        ("yolo", "auto,train", True),
    ],
)
def test_the_toolkit_reads_them_as_truth(layout, extension, exact, photos, tmp_path):
    written(layout, tmp_path / "out", Files(photos))
    dataset = open_dataset(
        tmp_path / "out", f"{extension},crop=40", class_labels=LABELS, progress=False
    )
    order = np.argsort([name.rsplit("/", 1)[1] for name in dataset.names]).tolist()
    names = [dataset.names[index].rsplit("/", 1)[1] for index in order]
    assert names == ["a.png", "more_a.jpg", "more_b.jpg"]
    # in whole pixels, or as found
    first = [[10.25, 5.5, 30.75, 20] if exact else [10, 6, 31, 20], [0, 0, 40, 30]]
    boxes = [dataset.boxes.of(index) for index in order]
    tolerance = 2e-5 if layout == "yolo" else 0  # shares of the sides, with six digits
    np.testing.assert_allclose(dataset.boxes.boxes_px[boxes[0]], first, rtol=0, atol=tolerance)
    assert dataset.boxes.box_class[boxes[0]].tolist() == [1, 0]
    assert dataset.boxes.boxes_px[boxes[1]].tolist() == [[0, 0, 30, 40]]
    assert len(dataset.boxes.boxes_px[boxes[2]]) == 0
    # the photo that its file turned lies upright now, the others are the same bytes
    assert dataset.sizes[order].tolist() == [[40, 30], [30, 40], [8, 8]]
    with open(photos[0], "rb") as one, open(dataset.names[order[0]], "rb") as other:
        assert one.read() == other.read()
    dataset.load(np.arange(3), np.zeros(3, np.uint64), training=False)
    assert not dataset.bad


def test_yolo(photos, tmp_path):
    written("yolo", tmp_path / "out", Files(photos))
    told = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert told["names"] == dict(enumerate(LABELS)) and told["train"] == "images"
    text = (tmp_path / "out/labels/a.txt").read_text()
    # centre (20.5, 12.75) and sides 20.5 x 14.5 of 40 x 30
    assert text == "1 0.512500 0.425000 0.512500 0.483333\n0 0.500000 0.500000 1.000000 1.000000\n"
    assert (
        tmp_path / "out/labels/more_a.txt"
    ).read_text() == "2 0.500000 0.500000 1.000000 1.000000\n"
    assert (tmp_path / "out/labels/more_b.txt").read_text() == ""
    assert {path.name for path in (tmp_path / "out/images").iterdir()} == {
        *("a.png", "more_a.jpg", "more_b.jpg")
    }


def test_voc_has_no_box_of_one_pixel(tmp_path):
    """Which readers take for a click: of 1 by 12, and in the last corner, two pixels are told."""
    found = detections([(0, 0, 0.9, (3.2, 0, 4.4, 12)), (0, 1, 0.9, (39.7, 29.6, 40, 30))])
    sink = LabelFiles("voc", tmp_path, Held([np.zeros((30, 40, 3), np.uint8)], ["a"]), LABELS, 0)
    sink.add(Found("a", found, 0, (40, 30)))
    sink.finish()
    boxes = open_dataset(tmp_path, "voc,crop=40", progress=False).boxes.boxes_px
    assert boxes.tolist() == [[3, 0, 5, 12], [38, 28, 40, 30]]


def test_coco_tells_scores(photos, tmp_path):
    written("coco", tmp_path / "out", Files(photos))
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    assert [each["score"] for each in content["annotations"]] == [0.9, 0.5, 0.7]
    assert [each["id"] for each in content["annotations"]] == [1, 2, 3]


def test_pictures_without_a_file_become_files(tmp_path):
    pictures = Held([np.full((30, 40, 3), 200, np.uint8)] * 3, ["v/0", "v/1", "w/0"])
    written("yolo", tmp_path / "out", pictures)
    saved = sorted((tmp_path / "out/images").iterdir())
    assert [path.name for path in saved] == ["v_0.jpg", "v_1.jpg", "w_0.jpg"]
    assert Image.open(saved[0]).getpixel((3, 3)) == (200, 200, 200)


def test_images_of_one_name_keep_apart(tmp_path):
    """Also such as differ in their suffix, which annotations do not have."""
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    paths = [str(tmp_path / name) for name in ("a.jpg", "a.png", "a.png")]
    sink = LabelFiles("yolo", tmp_path / "out", Files(paths), LABELS, 0)
    for index, path in enumerate(paths):
        sink.add(Found(path, detections([]), index, (8, 8)))
    files = sorted(path.name for path in (tmp_path / "out").rglob("*.*"))
    assert len({name.split(".")[0] for name in files}) == 3


def test_corrected_labels_are_not_written_over(photos, tmp_path):
    written("voc", tmp_path / "out", Files(photos))
    with pytest.raises(UsageError, match="it holds files, labels among them may have been"):
        written("voc", tmp_path / "out", Files(photos))
