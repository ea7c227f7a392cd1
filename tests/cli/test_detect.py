"""Objects from the shell: train a detector, evaluate it, draw what it finds."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, run_command
from PIL import Image

DESC = "C.B[8,3,2] BN A DNC[4,10] DNS[3,4] C.B[16,1] BNA DND[0.5,1,1]"
TRAIN = "model-train --backend numpy --train set --extension voc,train,crop=32 --border-mode half"
PREDICT = "model-predict --backend numpy --model run/m_best.mdl"
VOC = "--input set --extension voc,test,crop=32"

XML = "<annotation><size><width>{w}</width><height>{h}</height></size>{objects}</annotation>"
OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
    "<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
)


def make_set(root: Path) -> None:
    """Draw eight pictures with a red or green rectangle each, in the layout of Pascal VOC."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        x0, y0 = (int(side) for side in rng.integers(2, 20, 2))
        pixels = np.zeros((36, 40, 3), np.uint8)
        pixels[y0 : y0 + 12, x0 : x0 + 14, number % 2] = 255
        Image.fromarray(pixels).save(root / f"JPEGImages/{number}.png")
        name = ("red", "green")[number % 2]
        box = OBJECT.format(name=name, x0=x0 + 1, y0=y0 + 1, x1=x0 + 14, y1=y0 + 12)
        text = XML.format(w=40, h=36, objects=box)
        (root / f"Annotations/{number}.xml").write_text(text)
    (root / "ImageSets/Main/train.txt").write_text("0\n1\n2\n3\n4\n5\n")
    (root / "ImageSets/Main/test.txt").write_text("6\n7\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the set and a run of two epochs on it."""
    directory = tmp_path_factory.mktemp("detect")
    make_set(directory / "set")
    words = [*TRAIN.split(), "--test", "set", "--test-extension", "voc,test,crop=32"]
    words += ["--model-desc", DESC, "--epochs", "2", "--batch-size", "3"]
    done = run_command(directory, *words, "--output-prefix", "run/m")
    assert done.returncode == 0, done.stderr
    return directory


def test_a_run_has_the_files_of_a_run(trained: Path) -> None:
    report = (trained / "run/m_epoch002.test").read_text()
    assert report.startswith("coverage ") and "\ngreen " in report and "\nmean " in report
    assert (trained / "run/m_best.mdl").exists() and (trained / "run/m.state").exists()


def test_skip_train_tells_what_the_test_file_does(trained: Path) -> None:
    words = "model-train --backend numpy --skip-train --test set --extension voc,test,crop=32"
    kept = sorted(trained.rglob("*"))
    done = run_command(trained, *words.split(), "--model", "run/m_epoch002_final.mdl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (trained / "run/m_epoch002.test").read_text()
    assert sorted(trained.rglob("*")) == kept


def test_options_of_training_are_told_where_nothing_is_trained(trained: Path) -> None:
    words = f"{PREDICT} {VOC},augment_photo,mosaic=0.5 --predict-mode detect --results out/idle"
    done = run_command(trained, *words.split())
    assert done.returncode == 0, done.stderr
    assert "warning: mosaic, augment_photo of --extension: no effect" in done.stderr
    test = "--test set --test-extension voc,test,crop=32,area_min=0.5 --dry-run"
    words = f"{TRAIN.replace('crop=32', 'crop=32,mosaic=0.5')} {test}"
    done = run_command(trained, *words.split(), "--model-desc", DESC, "--output-prefix", "dry/m")
    assert done.returncode == 0, done.stderr
    assert "warning: area_min of --test-extension: no effect" in done.stderr
    assert "mosaic of" not in done.stderr


def test_a_detector_is_resumed(trained: Path) -> None:
    done = run_command(trained, *f"{TRAIN} --resume --epochs 3 --output-prefix run/m".split())
    assert done.returncode == 0, done.stderr
    assert (trained / "run/m_epoch003_final.mdl").exists()


def test_evaluation_as_voc_with_all_files(trained: Path) -> None:
    words = f"{PREDICT} {VOC} --predict-mode detect,voc,image --results out/r --report rep"
    done = run_command(trained, *words.split())
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *("coverage", "AP", "green", "red", "mean")
    ]
    found = json.loads((trained / "out/detections.json").read_text())
    assert found["classLabels"] == {"green": 0, "red": 1} and len(found["dets"]) == 2
    written = {path.name for path in (trained / "out").iterdir()}
    assert written >= {"comp4_det_test_red.txt", "6_dets.png", "7_dets.png"}
    with Image.open(trained / "out/6_dets.png") as picture:
        assert picture.width > 300
    assert (trained / "rep/class_ap.csv").read_text().startswith("class,")
    written = {path.name for path in (trained / "rep").iterdir()}
    assert written >= {"confusion.csv", "sizes.csv", "worst.png"}
    rows = [line.split(",") for line in (trained / "rep/confusion.csv").read_text().splitlines()]
    assert rows[0] == ["true class", "green", "red", "missed"] and rows[3][0] == "false alarm"
    # one object of each class
    assert [sum(map(int, row[1:])) for row in rows[1:3]] == [1, 1]


def test_where_nothing_is_found_that_is_told(trained: Path) -> None:
    words = f"{PREDICT} {VOC} --predict-mode detect,voc --min-score 0.9999 --results idle/r"
    done = run_command(trained, *words.split(), "--report", "idle_report")
    assert done.returncode == 0, done.stderr
    assert "set: nothing is found with a score of 0.9999 or more" in done.stderr
    assert (trained / "idle_report/worst.png").is_file()
    rows = (trained / "idle_report/confusion.csv").read_text().splitlines()
    assert rows[1:] == ["green,0,0,1", "red,0,0,1", "false alarm,0,0,0"]


def test_loose_pictures_and_one_drawing(trained: Path) -> None:
    words = f"{PREDICT} --predict-mode detect --input set/JPEGImages --format jsonl"
    done = run_command(trained, *words.split(), "--params", "prThreshold=0.001")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 8 and set(rows[0]) == {"image", "detections"}
    words = words.replace("--predict-mode detect ", "")  # which is what such a model does
    again = run_command(trained, *words.split(), "--params", "prThreshold=0.001")
    assert again.stdout == done.stdout
    words = f"{PREDICT} --predict-mode detect --input set/JPEGImages/0.png --draw one.png"
    assert run_command(trained, *words.split()).returncode == 0
    assert (trained / "one.png").exists()


ERRORS = [
    (f"{PREDICT} --input set --predict-mode single", "give detect"),
    (f"{PREDICT} --input set/JPEGImages --top 1", "--top: it is for the classes of whole images"),
    (f"{PREDICT} --input set --predict-mode detct", "did you mean 'detect'"),
    (f"{PREDICT} --input set --predict-mode detect,vco", "did you mean 'voc'"),
    (f"{PREDICT} {VOC} --predict-mode detect --params x=1", "unknown name 'x'"),
    (f"{PREDICT} --input set/JPEGImages --predict-mode detect --draw x.png", "needs one image"),
    (
        f"{PREDICT} --input set/JPEGImages/0.png --predict-mode detect,image --draw x.png",
        "leave one",
    ),
]


@pytest.mark.parametrize(("line", "words"), ERRORS)
def test_mistakes_are_told(line: str, words: str, trained: Path) -> None:
    done = run_command(trained, *line.split())
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1], done.stderr


def test_a_detector_needs_boxes_and_a_classifier_classes(command: Command, tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    done = command(*TRAIN.split(), "--model-desc", "P.A R")
    assert done.returncode == 3 and "end the network in DND, not in R" in done.stderr
    assert command(*TRAIN.split()).stderr.splitlines()[-1] == done.stderr.splitlines()[-1]
    done = command(*TRAIN.split(), "--model-desc", "C[4,3,2] DNC[4]")
    assert done.returncode == 3 and "end the network in DND, not in DNC[4]" in done.stderr
    assert "R needs" not in done.stderr
    for name in ("a", "b"):
        (tmp_path / "flat" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / f"flat/{name}/0.png")
    words = "model-train --backend numpy --train flat --extension png --border-mode half"
    done = command(*words.split(), "--model-desc", DESC)
    assert done.returncode == 3 and "it has no boxes" in done.stderr


def test_what_holds_no_object_out_is_told_with_its_remedy(command: Command, tmp_path: Path) -> None:
    """One of six images has an object."""
    make_set(tmp_path / "set")
    for number in range(1, 6):
        (tmp_path / f"set/Annotations/{number}.xml").write_text(XML.format(w=40, h=36, objects=""))
    words = f"{TRAIN} --val-split 0.34 --epochs 1 --batch-size 2 --dry-run --model-desc"
    told = (command(*words.split(), DESC, "--seed", str(seed)).stderr for seed in range(4))
    assert any("another --seed or a larger --val-split" in each for each in told)


def test_a_detector_is_measured(trained: Path) -> None:
    words = "model-bench --backend numpy --model run/m_best.mdl --batch-size 2 --steps 1 --json"
    done = run_command(trained, *words.split())
    kinds = json.loads(done.stdout)["ms_by_kind"]
    assert {"CornerSearch forward", "SparseSample backward"} <= kinds.keys()


def test_damaged_photos_of_training_and_test_are_listed(tmp_path: Path) -> None:
    """Under error the first that is met; under skip all, and --resume keeps what was listed."""
    make_set(tmp_path / "set")
    for number in (2, 7):
        file = tmp_path / f"set/JPEGImages/{number}.png"
        file.write_bytes(file.read_bytes()[:-40])
    words = [*TRAIN.split(), "--test", "set", "--test-extension", "voc,test,crop=32"]
    words += ["--model-desc", DESC, "--epochs", "1", "--batch-size", "3", "--normalise", "none"]
    strict = run_command(tmp_path, *words, "--output-prefix", "run/strict")
    assert strict.returncode == 3 and "JPEGImages/2.png: " in strict.stderr
    done = run_command(tmp_path, *words, "--on-bad-data", "skip", "--output-prefix", "run/m")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: damaged image left out: set/JPEGImages/") == 2

    def listed(run: str) -> list[str]:
        lines = (tmp_path / f"run/{run}_bad_data.txt").read_text().splitlines()[1:]
        return [line.partition("\t")[0] for line in lines]

    assert listed("strict") == ["set/JPEGImages/2.png"]
    both = ["set/JPEGImages/2.png", "set/JPEGImages/7.png"]
    assert listed("m") == both
    (tmp_path / "set/ImageSets/Main/test.txt").write_text("6\n")  # without 7
    again = run_command(
        tmp_path, "model-train", "--resume", "--output-prefix", "run/m", "--epochs", "2"
    )
    assert again.returncode == 0, again.stderr
    assert "JPEGImages/7.png" not in again.stderr and listed("m") == both
