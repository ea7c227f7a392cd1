"""model-predict --report, of a model that names the strongest colour: all can be worked out."""

import csv
import sys
from math import exp
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from denet.model.format import save_model
from denet.model.model import Model

CLASSES = ["blue", "green", "red"]
PURE = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
PREDICT = "model-predict --backend numpy --model colour.mdl --extension png --input"

# file: colour. The directory is the true class; two are mistaken, the pure one with confidence
FILES = {
    **{f"red/{index}.png": PURE["red"] for index in range(3)},
    "red/green.png": PURE["green"],
    "red/so so.png": (0, 0, 102),
    **{f"blue/{index}.png": PURE["blue"] for index in range(2)},
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Lay out the model and labelled images; no image is of the class green."""
    model = Model.create("P.A R", (3, 8, 8), CLASSES)
    model.parameters[1]["weight"][:, :, 0, 0] = 4 * np.eye(3)[::-1]
    save_model(model, tmp_path / "colour.mdl")
    for name, colour in FILES.items():
        file = tmp_path / "test" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(file)
    return tmp_path


def table(file: Path) -> list[list[str]]:
    return list(csv.reader(file.read_text(encoding="utf-8").splitlines()))


def test_report_of_a_directory(files: Path, command: Command) -> None:
    pytest.importorskip("matplotlib")
    done = command(*PREDICT.split(), "test", "--report", "new/report")
    assert (done.returncode, done.stdout) == (0, "top-1 error 28.571%\ntop-5 error 0.000%\n")
    report = files / "new" / "report"
    names = ["class_errors.csv", "confusion.csv", "confusion.png", "mistakes.png"]
    assert sorted(path.name for path in report.iterdir()) == names
    assert f"new/report: {', '.join(names)}" in done.stderr
    assert table(report / "confusion.csv") == [
        ["true class", *CLASSES],
        ["blue", "2", "0", "0"],
        ["green", "0", "0", "0"],
        ["red", "1", "1", "3"],
    ]
    assert table(report / "class_errors.csv")[1:] == [
        ["blue", "2", "0", "0.000", "0.000", "", ""],
        ["green", "0", "0", "", "", "", ""],
        ["red", "5", "2", "40.000", "0.000", "blue", "1"],
    ]
    sheet = np.asarray(Image.open(report / "mistakes.png"))
    # the confident mistake comes first
    first, second = (
        int(np.argwhere((sheet == colour).all(axis=2))[:, 1].min())
        for colour in (FILES["red/green.png"], FILES["red/so so.png"])
    )
    assert first < second


def test_report_beside_answers(files: Path, command: Command) -> None:
    words = ["test", "--report", "report", "--format", "csv"]
    done = command(*PREDICT.split(), *words)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["image"].removeprefix("test/") for row in rows] == sorted(FILES)
    sure = next(row for row in rows if row["image"].endswith("green.png"))
    assert float(sure["probability_1"]) == pytest.approx(exp(4) / (exp(4) + 2), rel=1e-4)
    assert "top-1 error 28.571%" in done.stderr and (files / "report" / "mistakes.png").is_file()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_report_of_arrays(dtype: type, files: Path, command: Command) -> None:
    save_model(Model.create("P.A R", (1, 8, 8), ["5", "6", "7"]), files / "grey.mdl")
    ramp = np.linspace(-3, 5, 64) if dtype == np.float32 else np.arange(64)
    np.save(files / "a_data.npy", np.tile(ramp.astype(dtype).reshape(1, 1, 8, 8), (30, 1, 1, 1)))
    np.save(files / "a_labels.npy", np.repeat([5, 6, 7], 10))
    words = "model-predict --backend numpy --model grey.mdl --extension npy --input a"
    done = command(*words.split(), "--report", "report")
    assert done.stdout == "top-1 error 66.667%\ntop-5 error 0.000%\n"
    # a network of zeros finds all classes equal: the first one is its only answer
    assert "warning: a: all 30 answers are '5' though 3 classes occur" in done.stderr
    sheet = np.asarray(Image.open(files / "report" / "mistakes.png"))
    levels = np.round(255 * np.arange(64) / 63) if dtype == np.float32 else np.arange(64)
    grey = sheet[(sheet[..., 0] == sheet[..., 1]) & (sheet[..., 1] == sheet[..., 2])]
    assert set(levels.astype(int)) <= set(grey[:, 0].tolist())


def test_no_mistakes_are_a_sentence(files: Path, command: Command) -> None:
    for name in ("green.png", "so so.png"):
        (files / "test" / "red" / name).unlink()
    done = command(*PREDICT.split(), "test", "--report", "report")
    assert done.stdout.startswith("top-1 error 0.000%\n")
    with Image.open(files / "report" / "mistakes.png") as sheet:
        assert sheet.height < 100


def test_without_matplotlib_the_rest_is_written(files: Path, command: Command) -> None:
    blocked = files / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'matplotlib' else find(name, *a)\n"
    )
    path = ":".join([str(blocked), *sys.path])
    done = command(*PREDICT.split(), "test", "--report", "r", env={"PYTHONPATH": path})
    assert done.returncode == 0
    assert "r/confusion.png is left out" in done.stderr
    assert "pip install matplotlib" in done.stderr
    written = {path.name for path in (files / "r").iterdir()}
    assert written == {"class_errors.csv", "confusion.csv", "mistakes.png"}


@pytest.mark.parametrize("source", ["test", "test/red"])
def test_bad_images_are_told_and_may_be_skipped(source: str, files: Path, command: Command) -> None:
    (files / "test" / "red" / "bad.png").write_bytes(b"nothing")
    count = 8 if source == "test" else 6
    told = f"bad.png: not an image (1 of {count} cannot be read)"
    done = command(*PREDICT.split(), source)
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 2 if source == "test" else 5)
    assert done.stderr.splitlines()[-1].startswith("error: cannot read the image: ")
    assert told in done.stderr
    skipped = command(*PREDICT.split(), source, "--on-bad-data", "skip")
    assert (skipped.returncode, skipped.stdout) == (0, done.stdout)
    assert "warning: cannot read the image: " in skipped.stderr
    assert f"1 of {count} cannot be read" in skipped.stderr


def test_nothing_but_bad_images_is_an_error(files: Path, command: Command) -> None:
    (files / "bad.png").write_bytes(b"nothing")
    done = command(*PREDICT.split(), "bad.png", "--on-bad-data", "skip")
    assert (done.returncode, done.stdout) == (3, "")


def test_images_of_too_many_pixels(files: Path, command: Command) -> None:
    Image.new("RGB", (9, 8)).save(files / "large.png")
    done = command(*PREDICT.split(), "large.png", "--max-image-pixels", 71)
    assert done.returncode == 3 and "--max-image-pixels 71" in done.stderr
    assert command(*PREDICT.split(), "large.png", "--max-image-pixels", 72).returncode == 0


CASES = [
    ("test/red --report r", 2, "--report: the true classes are not known: no class directories"),
    ("test/red/0.png --report r", 2, "give one directory per class, named as in the model"),
    ("odd --report r", 2, "only here: pink; only in the model: blue, green"),
    ("test --report colour.mdl", 3, "colour.mdl"),
    ("test --report r --font colour.mdl", 2, "give a TrueType file"),
]


@pytest.mark.parametrize(("words", "code", "message"), CASES, ids=[case[0] for case in CASES])
def test_errors_come_before_the_work(
    words: str, code: int, message: str, files: Path, command: Command
) -> None:
    for name in ("pink", "red"):
        (files / "odd" / name).mkdir(parents=True)
    done = command(*PREDICT.split(), *words.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[-1]
    assert not (files / "r").exists()
