"""Detection from the shell on every kind of dataset, by a detector that can be worked out by hand.

Its map has 2 x 2 cells, all of which are likely corners: the one box that they span is the whole
image. The bias alone says how likely each class is in it.
"""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_voc
from conftest import Command

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset import BadDataError, open_dataset
from denet.layer.options import LayerOptions
from denet.model.format import load_model, save_model
from denet.model.model import Model
from denet.training import tester
from denet.training.settings import TrainSettings

DESC = "C[4,3,2] BN A P.A[8] DNC[2] DNS[2,3] DND[0.5,1,1]"
PREDICT = "model-predict --backend numpy --model sure.mdl"
SIZE = (40, 30)
PART, WHOLE = (23, 30), (40, 30)  # boxes from the upper left corner; their IoU is 0.575
# What each image shows. In each the detector finds a zebra: right, wrong, right at that IoU; and
# an ant: wrong, right, wrong.
OBJECTS = {"1": ("zebra", WHOLE), "2": ("ant", WHOLE), "3": ("zebra", PART)}


def save_detector(path: Path, probabilities: dict[str, float], width: int = 32) -> None:
    """Save a detector that sees these classes in every box that it finds."""
    options = LayerOptions(border_mode="half")
    model = Model.create(DESC, (3, 32, width), list(probabilities), options)
    null = 1 - sum(probabilities.values())
    model.parameters[4]["corner.bias"][:] = -5
    model.parameters[-1]["detect.bias"][:] = np.log([*probabilities.values(), null])
    save_model(model, path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with the detector and the same three pictures as VOC and as COCO."""
    save_detector(tmp_path / "sure.mdl", {"zebra": 0.6, "ant": 0.3})
    pictures = {
        name: voc_xml(object_xml(label, (1, 1, *box)), size=SIZE)
        for name, (label, box) in OBJECTS.items()
    }
    write_voc(tmp_path / "voc", pictures, size=SIZE)
    categories = {"zebra": 7, "ant": 3}
    content = {
        "images": [
            {"id": 10 * int(name), "file_name": f"{name}.png", "width": 40, "height": 30}
            for name in OBJECTS
        ],
        "annotations": [
            {
                **{"id": int(name), "image_id": 10 * int(name), "category_id": categories[label]},
                **{"bbox": [0, 0, *box], "area": math.prod(box), "iscrowd": 0},
            }
            for name, (label, box) in OBJECTS.items()
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
    write_coco(tmp_path / "coco", content, size=SIZE)
    return tmp_path


VOC = "--input voc --extension voc,train,crop=32,scale_mode=warp"
COCO = "--input coco --extension mscoco,train,crop=32,scale_mode=warp"


@pytest.mark.parametrize(
    ("match_iou", "zebra"),
    [
        # right, wrong, right: precision 1 to a recall of 1/2 (6 points of 11), 2/3 to 1
        (0.5, f"zebra {100 * (6 + 10 / 3) / 11:.2f}% / {100 * 5 / 6:.2f}% (2 objects)"),
        (0.75, f"zebra {100 * 6 / 11:.2f}% / 50.00% (2 objects)"),
    ],
)
def test_voc(match_iou: float, zebra: str, place: Path, command: Command) -> None:
    words = f"{PREDICT} {VOC} --predict-mode detect,voc --params matchIOU={match_iou}"
    done = command(*words.split())
    assert done.returncode == 0, done.stderr
    coverage, _, first, second, _ = done.stdout.splitlines()
    assert coverage.startswith("coverage 100.00%" if match_iou == 0.5 else "coverage 66.67%")
    assert first == zebra and second == "ant 50.00% / 50.00% (1 objects)"


def test_the_error_of_a_test_is_what_the_mean_lacks(place: Path) -> None:
    """In per cent: the areas of zebra and ant are those of ``test_voc``."""
    model = load_model(place / "sure.mdl")
    images = open_dataset(
        str(place / "voc"), "voc,train,crop=32,scale_mode=warp", class_labels=model.class_labels
    )
    result = tester.Tester(model, images, TrainSettings(batch_size=2), NumpyBackend()).result()
    assert result.error == pytest.approx(100 * (1 - (5 / 6 + 1 / 2) / 2))


def add_damaged(place: Path) -> None:
    """Add an image 4 of a zebra that is cut short behind its header to both sets."""
    write_voc(place / "voc", {"4": voc_xml(object_xml("zebra", (1, 1, *WHOLE)), size=SIZE)}, "more")
    (place / "voc/ImageSets/Main/train.txt").write_text("1\n2\n3\n4\n")
    annotations = place / "coco/annotations/instances_train.json"
    content = json.loads(annotations.read_text())
    content["images"].append({"id": 40, "file_name": "4.png", "width": 40, "height": 30})
    content["annotations"].append({**content["annotations"][0], "id": 4, "image_id": 40})
    annotations.write_text(json.dumps(content))
    for file in (place / "voc/JPEGImages/4.jpg", place / "coco/train/4.png"):
        save_image(file, SIZE)
        file.write_bytes(file.read_bytes()[:-30])


@pytest.mark.parametrize(("words", "kind"), [(VOC, "voc"), (COCO, "mscoco")])
def test_a_damaged_image_changes_nothing(words, kind, place: Path, command: Command) -> None:
    """Neither the numbers nor the files: it is as if it were not there."""
    line = f"{PREDICT} {words} --on-bad-data skip --predict-mode detect,{kind},image --format jsonl"
    before = command(*line.split(), "--results", "before/found")
    add_damaged(place)
    after = command(*line.split(), "--results", "after/found")
    assert (before.returncode, after.returncode) == (0, 0), before.stderr + after.stderr
    assert before.stdout == after.stdout and before.stdout.count('"image"') == 3
    assert after.stderr.count("damaged image left out: ") == 1
    files = [sorted((place / each).iterdir()) for each in ("before", "after")]
    assert [len(each) for each in files][0] >= 5
    for one, other in zip(*files, strict=True):
        assert one.name == other.name and one.read_bytes() == other.read_bytes()


def test_nothing_that_can_be_read_is_an_error(place: Path, command: Command) -> None:
    """Whose pixels are damaged: whose headers are is known when the set is opened."""
    for image in (place / "voc/JPEGImages").iterdir():
        image.write_bytes(image.read_bytes()[:-30])
    done = command(*f"{PREDICT} {VOC} --predict-mode detect,voc --on-bad-data skip".split())
    assert done.returncode == 3 and not done.stdout
    assert "none of the images can be read: voc/JPEGImages/" in done.stderr.splitlines()[-1]
    model = load_model(place / "sure.mdl")
    images = open_dataset(
        *(str(place / "voc"), "voc,train,crop=32"),
        class_labels=model.class_labels,
        on_bad_data="skip",
    )
    test = tester.Tester(model, images, TrainSettings(batch_size=2), NumpyBackend())
    with pytest.raises(BadDataError, match="none of the images can be read"):
        test.result()


def test_a_test_leaves_damaged_images_out(place: Path) -> None:
    """Of objects, with the numbers of ``test_the_error_of_a_test_is_what_the_mean_lacks``."""
    add_damaged(place)
    model = load_model(place / "sure.mdl")
    images = open_dataset(
        str(place / "voc"),
        "voc,train,crop=32,scale_mode=warp",
        class_labels=model.class_labels,
        on_bad_data="skip",
    )
    result = tester.Tester(model, images, TrainSettings(batch_size=2), NumpyBackend()).result()
    assert result.error == pytest.approx(100 * (1 - (5 / 6 + 1 / 2) / 2))
    assert "zebra" in result.report and "(2 objects)" in result.report


def test_mscoco(place: Path, command: Command) -> None:
    """At 101 recalls 1 up to 1/2 and, at the IoUs .5 and .55, 2/3 behind; ants have 1/2."""
    words = f"{PREDICT} {COCO} --predict-mode detect,mscoco --results out/found"
    done = command(*words.split())
    assert done.returncode == 0, done.stderr
    told = dict(line.removesuffix("%").split() for line in done.stdout.splitlines())
    at_50, above = (51 + 50 * 2 / 3) / 101, 51 / 101
    zebra = (2 * at_50 + 8 * above) / 10
    expected = {"zebra": zebra, "ant": 0.5, "AP": (zebra + 0.5) / 2, "AP50": (at_50 + 0.5) / 2}
    expected |= {"AP75": (above + 0.5) / 2}
    assert {name: float(told[name]) for name in expected} == {
        name: round(100 * value, 2) for name, value in expected.items()
    }
    assert len(told) == 2 + 12 and told["APl"] == "-"

    rows = json.loads((place / "out/found.json").read_text())
    assert rows == [
        {"image_id": 10 * n, "category_id": number, "bbox": [0, 0, 40, 30], "score": score}
        for n in (1, 2, 3)
        for number, score in ((7, 0.6), (3, 0.3))
    ]
    assert (place / "out/detections.json").is_file()


def test_the_file_for_the_server_of_mscoco(place: Path, command: Command) -> None:
    """Its own evaluator reads it and comes to the numbers that are printed."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO as Coco
    from pycocotools.cocoeval import COCOeval

    words = f"{PREDICT} {COCO} --predict-mode detect,mscoco --results out/found"
    told = command(*words.split()).stdout.splitlines()[2:]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = Coco(str(place / "coco/annotations/instances_train.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(place / "out/found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = [f"{100 * value:.2f}%" if value >= 0 else "-" for value in evaluation.stats]
    assert [line.split()[1] for line in told] == numbers


def write_imagenet(root: Path) -> None:
    """Write val/CLASS/*.JPEG: two of n1, one of n2, n3, n5, n6 each, all but that of n3 boxed."""
    boxes = {"n1/a": WHOLE, "n1/b": WHOLE, "n2/c": (10, 10), "n5/d": WHOLE, "n6/e": WHOLE}
    for name in ["n3/f", *boxes]:
        save_image(root / f"val/{name}.JPEG", SIZE)
    for name, box in boxes.items():
        file = root / f"bbox/{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(voc_xml(object_xml(box=(0, 0, *box)), size=SIZE))


def test_imagenet(tmp_path: Path, command: Command) -> None:
    """Wrong is n2, whose box is small, and n6, the class that is told sixth: 2 of 5 images. The
    five worst answers, which 2017 took, would miss both of n1 and n2."""
    write_imagenet(tmp_path)
    shares = {"n1": 0.3, "n2": 0.2, "n3": 0.15, "n4": 0.1, "n5": 0.08, "n6": 0.05}
    save_detector(tmp_path / "sure.mdl", shares)
    words = "--input val --extension imagenet,crop=32,scale_mode=warp"
    done = command(*f"{PREDICT} {words} --predict-mode detect,imagenet".split())
    assert (done.returncode, done.stdout) == (0, "top-5 localisation error 40.000%\n"), done.stderr


# A map of 3 x 2 cells has three boxes, equally likely, in this order: the left two thirds, the
# whole, the right two thirds. The IoU of left and right is 1/3, that with the whole 2/3.
LEFT, RIGHT, ALL = (0, 0, 32, 32), (16, 0, 48, 32), (0, 0, 48, 32)
PARAMS = [
    # --params, log of what the score of each box is multiplied by. Soft suppression lowers the
    # right one for the left and the whole for both, by IoU^2 / nmsThreshold; below -6.9 one goes.
    ("nmsThreshold=0.5", {LEFT: 0, RIGHT: 0}),
    ("nmsThreshold=0.25", {LEFT: 0}),
    ("nmsThreshold=0", {LEFT: 0, RIGHT: 0, ALL: 0}),
    ("nmsThreshold=1", {LEFT: 0, RIGHT: 0, ALL: 0}),
    ("useSoftNMS=1", {LEFT: 0, RIGHT: -2 / 9, ALL: -16 / 9}),
    ("useSoftNMS=1,nmsThreshold=0.1", {LEFT: 0, RIGHT: -10 / 9}),
    ("cornerThreshold=0.5 cornerMax=9", {LEFT: 0, RIGHT: 0}),
    ("cornerThreshold=1", {}),
    ("cornerMax=1 prThreshold=0", {}),  # all four corners in the first cell span nothing
]


@pytest.mark.parametrize(("params", "boxes"), PARAMS)
def test_params(params: str, boxes: dict[tuple[int, ...], float], place: Path, command: Command):
    save_detector(place / "sure.mdl", {"zebra": 0.6, "ant": 0.3}, width=48)
    save_image(place / "wide.png", (48, 32))
    words = f"{PREDICT} --input wide.png --predict-mode detect --format jsonl --params"
    found = json.loads(command(*words.split(), *params.split()).stdout)["detections"]
    assert {(each["class"], *each["box"]): each["score"] for each in found} == {
        (name, *box): pytest.approx(score * math.exp(power), rel=1e-4)
        for name, score in (("zebra", 0.6), ("ant", 0.3))
        for box, power in boxes.items()
    }
    assert len(found) == 2 * len(boxes)


@pytest.mark.parametrize(("threshold", "classes"), [(0.5, {"zebra"}), (0.7, set())])
def test_least_probability(
    threshold: float, classes: set[str], place: Path, command: Command
) -> None:
    words = f"{PREDICT} --input voc/JPEGImages/1.jpg --predict-mode detect --format jsonl"
    done = command(*words.split(), "--params", f"prThreshold={threshold}")
    assert {each["class"] for each in json.loads(done.stdout)["detections"]} == classes


def test_pictures_of_a_bare_directory(place: Path, command: Command) -> None:
    words = f"{PREDICT} --input voc/JPEGImages --predict-mode detect,image --results out/found"
    done = command(*words.split())
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.name for path in (place / "out").iterdir())
    assert drawn == ["1_dets.png", "2_dets.png", "3_dets.png"]
    assert done.stdout.count("zebra 60.00% (0.0 0.0 40.0 30.0)") == 3


def test_damaged_images_are_not_drawn(place: Path, command: Command) -> None:
    image = place / "voc/JPEGImages/2.jpg"
    data = image.read_bytes()
    image.write_bytes(data[: len(data) - 20])
    words = f"{PREDICT} {VOC} --predict-mode detect,voc,image --on-bad-data skip"
    done = command(*words.split())
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (place / "results").glob("*.png")} == {"1_dets.png", "3_dets.png"}
    assert "results: 2 pictures" in done.stderr


def test_pictures_of_images_of_one_name(place: Path, command: Command) -> None:
    """Each has its own; none takes the place of an image."""
    for name in ("a.jpg", "a.png", "more/a.jpg"):
        save_image(place / "photos" / name, SIZE)
    words = f"{PREDICT} --input photos --predict-mode detect,image"
    assert command(*words.split()).returncode == 0
    drawn = {str(path.relative_to(place / "results")) for path in place.glob("results/**/*.png")}
    assert drawn == {"a.jpg_dets.png", "a.png_dets.png", "more/a.jpg_dets.png"}

    for name in ("b.jpg", "b_dets.png"):
        save_image(place / "other" / name, SIZE)
    kept = (place / "other/b_dets.png").read_bytes()
    words = f"{PREDICT} --input other --predict-mode detect,image --results other/"
    done = command(*words.split())
    assert done.returncode == 2 and "b_dets.png: it is one of the images" in done.stderr
    assert (place / "other/b_dets.png").read_bytes() == kept


@pytest.mark.parametrize(
    ("layout", "extension"), [("voc", "voc"), ("coco", "mscoco,all"), ("yolo", "yolo,train")]
)
def test_labels_to_correct(layout: str, extension: str, place: Path, command: Command) -> None:
    """What is found in bare images is the truth of a new dataset, which is then found without fail.

    Of the two classes that the detector sees everywhere --min-score leaves one.
    """
    words = (
        f"{PREDICT} --predict-mode detect --input voc/JPEGImages --format {layout} --results new"
    )
    done = command(*words.split(), "--min-score", "0.5")
    assert done.returncode == 0 and not done.stdout, done.stderr
    told = f"new: 3 images with 3 boxes of a score of 0.5 or more, read by --extension {extension}"
    assert told in done.stderr.splitlines()
    again = command(*words.split())
    assert again.returncode == 2 and "--results: new: it holds files" in again.stderr
    words = f"{PREDICT} --predict-mode detect,voc --input new --results back/ --min-score 0.5"
    done = command(*words.split(), "--extension", f"{extension},crop=32,scale_mode=warp")
    assert "zebra 100.00% / 100.00% (3 objects)\nant - / - (0 objects)" in done.stdout, done.stderr


def test_least_scores(place: Path, command: Command) -> None:
    """Not given, people are told what has 0.25 and programs all; given, it holds for both."""
    save_detector(place / "sure.mdl", {"zebra": 0.6, "ant": 0.2})
    words = f"{PREDICT} --input voc/JPEGImages/1.jpg --predict-mode detect".split()
    told = {
        (form, least): command(*words, "--format", form, *least).stdout.count("ant")
        for form in ("text", "csv")
        for least in ((), ("--min-score", "0.1"), ("--min-score", "0.3"))
    }
    assert [*told.values()] == [0, 1, 0, 1, 1, 0]
    # precision is that of all that is found: of both ants, 1 of 3 images has one
    words = f"{PREDICT} {VOC} --predict-mode detect,voc --results out/"
    assert "ant 50.00% / 50.00% (1 objects)" in command(*words.split()).stdout
    cut = command(*words.split(), "--min-score", "0.3").stdout
    assert "ant 0.00% / 0.00% (1 objects)" in cut and "zebra 84" in cut


def test_low_scores_are_told(place: Path, command: Command) -> None:
    """Zebras are right in 2 of 3 answers, for 3 objects: F1 is 2 x 2 / (3 + 3)."""
    save_detector(place / "sure.mdl", {"zebra": 0.215, "ant": 0.1})
    words = f"{PREDICT} {VOC} --results out/ --predict-mode detect"
    told = "scores are low: text and pictures show 0 of what is found, for 3 known objects, as they"
    for mode in ("image", "voc", "voc,image"):
        done = command(*f"{words},{mode}".split())
        assert told in done.stderr, done.stderr
        assert "--min-score 0.21 shows 3, where F1 is highest (67%)" in done.stderr
    done = command(*f"{words} --min-score 0.21 --format text".split())
    assert "scores are low" not in done.stderr and done.stdout.count("zebra 21.50%") == 3
    loose = f"{PREDICT} --predict-mode detect --input voc/JPEGImages"
    assert "csv tells them, --min-score 0.21 shows the best" in command(*loose.split()).stderr


def test_images_from_anywhere(place: Path, command: Command) -> None:
    """Several paths, patterns, and a photo on standard input."""
    words = f"{PREDICT} --predict-mode detect --format csv --input".split()
    done = command(*words, "voc/JPEGImages/[12].jpg", "coco/train", "voc/JPEGImages/1.jpg")
    names = [line.split(",")[0] for line in done.stdout.splitlines()[1:]]
    assert names[::2] == [
        *("voc/JPEGImages/1.jpg", "voc/JPEGImages/2.jpg"),
        *("coco/train/1.png", "coco/train/2.png", "coco/train/3.png", "voc/JPEGImages/1.jpg"),
    ], done.stderr
    done = command(*words, "voc/JPEGImages/*.png")
    assert done.returncode == 3 and "no images match" in done.stderr
    done = command(*words, "voc", "coco", "--extension", "voc,train,crop=32")
    assert done.returncode == 2 and "--input: 2 paths: a labelled dataset is one" in done.stderr


def test_tiles(place: Path, command: Command) -> None:
    """All parts are whole objects to this detector: those of the whole image are told."""
    words = f"{PREDICT} --predict-mode detect --input voc/JPEGImages --format csv"
    done = command(*words.split(), "--tiles", "16", "--overlap", "0.5")
    assert done.returncode == 0, done.stderr
    assert done.stdout == command(*words.split()).stdout
    words = f"{PREDICT} {VOC} --predict-mode detect,voc,image --results"
    plain = command(*f"{words} plain/".split())
    done = command(*f"{words} tiled/ --tiles 16 --overlap 0.5 --report report".split())
    assert done.stdout == plain.stdout and "zebra" in done.stdout, done.stderr
    assert (place / "tiled/1_dets.png").is_file() and (place / "report/confusion.csv").is_file()
    for name in ("comp4_det_test_zebra.txt", "detections.json"):
        assert (place / "tiled" / name).read_text() == (place / "plain" / name).read_text()
    done = command(*f"{PREDICT} --predict-mode single --input voc/JPEGImages --tiles 16".split())
    assert done.returncode == 2 and "--tiles: it is for --predict-mode detect" in done.stderr


@pytest.mark.parametrize("words", ["--min-score 0.5", "--params prThreshold=0.5", "--overlap 0.5"])
def test_options_of_detection_are_refused_elsewhere(
    words: str, place: Path, command: Command
) -> None:
    """What would change nothing is an error, before the model is asked what it tells."""
    done = command(*f"{PREDICT} --predict-mode single --input voc/JPEGImages {words}".split())
    assert done.returncode == 2 and f"error: {words.split()[0]}: it is " in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--predict-mode single --format voc", "--format: it is for --predict-mode detect"),
        ("--predict-mode detect,image --format voc", "--format voc: detect,image draws all"),
        (f"--predict-mode detect --format coco {VOC}", "--format: it is for loose images"),
    ],
)
def test_labels_where_there_can_be_none(words, told, place: Path, command: Command) -> None:
    words = f"{PREDICT} --input voc/JPEGImages {words}"
    done = command(*words.split())
    assert done.returncode == 2 and told in done.stderr


FILES = [
    (VOC, "detect,voc", {"comp4_det_test_zebra.txt", "comp4_det_test_ant.txt"}),
    (VOC, "detect", {"comp4_det_test_zebra.txt", "comp4_det_test_ant.txt"}),
    (COCO, "detect,mscoco", {"results.json"}),
    (VOC, "detect,image", {"1_dets.png", "2_dets.png", "3_dets.png"}),
]


@pytest.mark.parametrize(("data", "mode", "files"), FILES)
def test_what_was_found_is_never_lost(
    data: str, mode: str, files: set[str], place: Path, command: Command
) -> None:
    """Without --results it goes to the directory results, as in 2017, unless that is in use."""
    words = f"{PREDICT} {data} --predict-mode {mode}".split()
    done = command(*words)
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_bytes() for path in (place / "results").iterdir()}
    assert written.keys() == files | {"detections.json"}
    assert f"{Path('results/detections.json')}: " in done.stderr
    for path in (place / "results").iterdir():
        path.write_text("mine")
    again = command(*words)
    assert again.returncode == 2 and again.stdout == ""
    assert "results holds files: give another, or --results results/ to" in again.stderr
    assert all(path.read_text() == "mine" for path in (place / "results").iterdir())
    assert command(*words, "--results", "results/").stdout == done.stdout
    assert {path.name: path.read_bytes() for path in (place / "results").iterdir()} == written


def test_a_class_without_a_file_of_its_own_is_told_before_the_work(
    place: Path, command: Command
) -> None:
    save_detector(place / "sure.mdl", {"n/a": 0.6, "n_a": 0.3})
    write_voc(place / "odd", {"1": voc_xml(object_xml("n/a", (1, 1, 9, 9)), size=SIZE)}, size=SIZE)
    words = f"{PREDICT} --input odd --extension voc,train,crop=32 --results out/found"
    done = command(*words.split(), "--predict-mode", "detect,voc")
    assert done.returncode == 3 and "class 'n/a': it does not make" in done.stderr
    assert not (place / "out").exists()
    done = command(*words.split(), "--predict-mode", "detect,image")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [("", "cannot make the directory: taken:"), ("--font taken", "font: taken")],
)
def test_what_is_in_the_way_of_a_report_is_told_before_the_evaluation(
    option: str, words: str, place: Path, command: Command
) -> None:
    (place / "taken").write_text("")
    report = "rep" if option else "taken"
    line = f"{PREDICT} {VOC} --predict-mode detect,voc --report {report} {option}"
    done = command(*line.split())
    assert done.returncode == (2 if option else 3) and done.stdout == ""
    assert words in done.stderr.splitlines()[-1], done.stderr


def test_larger_images_and_more_samples(place: Path, command: Command) -> None:
    """What README of 2017 does with its models, and statistics measured for it anew."""
    words = "--image-size 48 48 --modify-layer denet-sparse sample_num=6"
    done = command(*f"model-modify --input sure.mdl --output large.mdl {words}".split())
    assert done.returncode == 0, done.stderr
    assert "36 boxes x 2 classes" in command("model-info", "--model", "large.mdl").stdout
    data = "--input voc --extension voc,train,crop=48"
    done = command(*f"model-update-bn --model large.mdl --output large.mdl {data}".split())
    assert done.returncode == 0, done.stderr
    assert load_model(place / "large.mdl").parameters[1]["variance"].max() < 1
    picture = "--input voc/JPEGImages/1.jpg --predict-mode detect --format csv"
    done = command(*f"{PREDICT} --model large.mdl {picture} --params nmsThreshold=0".split())
    assert len(done.stdout.splitlines()) == 1 + 2 * 9  # boxes on a map of 3 x 3 cells


@pytest.mark.parametrize(
    ("data", "extension"), [("voc", "voc,train"), ("coco", "mscoco,train"), ("val", "imagenet")]
)
def test_training(data: str, extension: str, place: Path, command: Command) -> None:
    """In 2017 it could not start on ImageNet. One of its pictures has no box here."""
    write_imagenet(place)
    words = f"--train {data} --test {data} --extension {extension},crop=32 --border-mode half"
    done = command(
        *f"model-train --backend numpy {words} --epochs 1 --batch-size 2".split(),
        *("--model-desc", DESC, "--output-prefix", "run/m"),
    )
    assert done.returncode == 0, done.stderr
    assert (place / "run/m_epoch001_final.mdl").is_file()
    assert "\nmean " in (place / "run/m_epoch001.test").read_text()
