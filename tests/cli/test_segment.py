"""model-predict --predict-mode segment, of a model that names the strongest colour of a block."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image, ImageColor

from denet.model.format import save_model
from denet.model.model import Model
from denet.report.detections import class_colour

PREDICT = ["model-predict", "--backend", "numpy", "--model", "m.mdl", "--predict-mode", "segment"]
COLOURS = {"r": (200, 0, 0), "g": (0, 200, 0), "b": (0, 0, 200)}
IDS = {"b": 0, "g": 1, "r": 2, ".": 255}  # of the sorted classes
HEADER = "accuracy / TPR / FPR of each class against the others:"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Save the model: 8x8 pixels, a map of 2x2 positions."""
    model = Model.create("P.A[4] R[1]", (3, 8, 8), ["blue", "green", "red"])
    model.parameters[1]["weight"][:, :, 0, 0] = 4 * np.eye(3)[::-1]
    save_model(model, tmp_path / "m.mdl")
    return tmp_path


def paint(file: Path, blocks: str, side: int = 4) -> None:
    """Write an image of blocks, ``rg bb`` for two rows, each of ``side`` pixels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([[COLOURS[each] for each in row] for row in blocks.split()], np.uint8)
    Image.fromarray(rows.repeat(side, 0).repeat(side, 1)).save(file)


def ids(blocks: str) -> np.ndarray:
    """Return the class ids of blocks."""
    return np.array([[IDS[each] for each in row] for row in blocks.split()], np.uint8)


def read(file: Path) -> np.ndarray:
    """Return the class ids of a picture; its colours are those of the classes."""
    with Image.open(file) as picture:
        assert picture.mode == "P"
        found, shown = np.asarray(picture), np.asarray(picture.convert("RGB"))
    for class_index in np.unique(found[found < 255]):
        colour = ImageColor.getrgb(class_colour(int(class_index)))
        assert (shown[found == class_index] == colour).all()
    assert (shown[found == 255] == 255).all()
    return found


def test_class_directories(files: Path, command: Command) -> None:
    """Red: 4 of 4 and 1 of 4 positions; green: 3 of 4. Blue has none and is taken twice."""
    paint(files / "set/red/1.png", "rr rr")
    paint(files / "set/red/2.png", "rg gb", side=8)
    paint(files / "set/green/1.png", "gg bg")
    done = command(*PREDICT, "--input", "set", "--batch-size", 2, "--results", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        HEADER,
        "blue 83.33% / - / 16.67% (0 positions)",  # 10 of 12, 2 of 12
        "green 75.00% / 75.00% / 25.00% (4 positions)",  # 3 + 6 of 12, 3 of 4, 2 of 8
        "red 75.00% / 62.50% / 0.00% (8 positions)",  # 5 + 4 of 12, 5 of 8
        "overall accuracy 66.67%",  # 8 of 12
    ]
    written = sorted(str(p.relative_to(files / "out")) for p in (files / "out").rglob("*.png"))
    assert written == [
        *("green/1_predict.png", "green/1_true.png", "red/1_predict.png", "red/1_true.png"),
        *("red/2_predict.png", "red/2_true.png"),
    ]
    assert (read(files / "out/red/2_predict.png") == ids("rg gb").repeat(8, 0).repeat(8, 1)).all()
    assert (read(files / "out/green/1_true.png") == IDS["g"]).all()


def test_label_pictures(files: Path, command: Command) -> None:
    """One of the image's size, one of another; the third image has none."""
    paint(files / "photos/a/1.png", "rg bb")
    paint(files / "photos/b/1.png", "rg bb")
    paint(files / "photos/b/2.png", "gg gg")
    labels = Image.fromarray(ids("rg b.").repeat(4, 0).repeat(4, 1))
    labels.putpalette([9, 9, 9] * 256)
    labels.save(files / "photos/a/1_true.png")
    Image.fromarray(ids("rr bb")).save(files / "photos/b/1_true.png")
    done = command(*PREDICT, "--input", "photos")
    assert done.returncode == 0, done.stderr
    # a: 16 pixels each of r, g, b right, 16 not counted; b: 4 pixels, of which one r is taken for g
    assert done.stdout.splitlines() == [
        HEADER,
        "blue 100.00% / 100.00% / 0.00% (18 positions)",
        "green 98.08% / 100.00% / 2.78% (16 positions)",  # 51 of 52, 1 of 36
        "red 98.08% / 94.44% / 0.00% (18 positions)",  # 17 of 18
        "overall accuracy 98.08%",
    ]
    out = files / "results"
    assert (read(out / "b/1_true.png") == ids("rr bb")).all()
    assert (read(out / "b/1_predict.png") == ids("rg bb")).all()
    assert (read(out / "a/1_true.png") == np.asarray(labels)).all()
    assert (read(out / "b/2_predict.png") == np.full((8, 8), IDS["g"])).all()
    assert not (out / "b/2_true.png").exists()
    again = command(*PREDICT, "--input", "photos", "--results", "photos")
    assert again.stdout == done.stdout
    with Image.open(files / "photos/a/1_true.png") as kept:
        assert kept.getpalette() == [9, 9, 9] * 256  # the truth is never written over
    held = command(*PREDICT, "--input", "photos")
    assert held.returncode == 2 and "results holds files" in held.stderr
    over = command(*PREDICT, "--input", "photos", "--results", "results/")
    assert over.stdout == done.stdout


def test_the_picture_has_the_size_of_the_image(files: Path, command: Command) -> None:
    """The network sees the middle 16x16 of 32x16 pixels, 2x1 blocks of 8."""
    paint(files / "wide.png", "rgbr rbgr", side=8)
    done = command(*PREDICT, "--input", "wide.png", "--results", ".")
    assert (done.returncode, done.stdout) == (0, "")
    expected = ids(".gb. .bg.").repeat(8, 0).repeat(8, 1)
    assert (read(files / "wide_predict.png") == expected).all()


def test_names_never_meet(files: Path, command: Command) -> None:
    for name, blocks in {"x/1.png": "rr rr", "x/1.bmp": "gg gg", "y/1.png": "bb bb"}.items():
        paint(files / name, blocks)
    (files / "list.txt").write_text("x/1.png\nx/1.bmp\ny/1.png\n")
    done = command(*PREDICT, "--input", "list.txt", "--results", "out")
    assert done.returncode == 0, done.stderr
    for name, each in {"x/1.png": "r", "x/1.bmp": "g", "y/1.png": "b"}.items():
        assert (read(files / f"out/{name}_predict.png") == IDS[each]).all()


def test_arrays(files: Path, command: Command) -> None:
    model = Model.create("P.A[4] R[1]", (1, 8, 8), ["0", "1"])
    model.parameters[1]["weight"][:, 0, 0, 0] = [-1, 1]  # the class is whether a mean is positive
    save_model(model, files / "m.mdl")
    means = np.float32([[[1, -1], [1, 1]], [[-2, -2], [-2, 3]]])
    data = means.repeat(4, 1).repeat(4, 2)[:, None]
    np.save(files / "a_data.npy", data)
    np.save(files / "a_labels.npy", [1, 0])
    done = command(*PREDICT, "--input", "a", "--extension", "npy")
    assert done.stdout.splitlines()[1:] == [
        "0 75.00% / 75.00% / 25.00% (4 positions)",
        "1 75.00% / 75.00% / 25.00% (4 positions)",
        "overall accuracy 75.00%",
    ]
    assert (read(files / "results/row 0_predict.png") == (data[0, 0] > 0)).all()


def test_bad_files(files: Path, command: Command) -> None:
    """Neither a bad image nor a bad label picture stops the others."""
    for name in ("good", "colour", "wrong", "cut"):
        paint(files / f"set/{name}.png", "rg bb")
    Image.fromarray(ids("rg bb")).save(files / "set/good_true.png")
    paint(files / "set/colour_true.png", "rg bb")
    Image.fromarray(ids("rg bb") + 1).save(files / "set/wrong_true.png")
    (files / "set/cut.png").write_bytes(b"nothing")
    done = command(*PREDICT, "--input", "set")
    assert done.returncode == 3
    assert "blue 100.00% / 100.00% / 0.00% (2 positions)" in done.stdout
    told = "\n".join(done.stderr.splitlines()[-3:])
    assert "set/colour_true.png: not class ids: save it as PNG with a palette or 8 bits" in told
    assert "set/wrong_true.png: class id 3: the classes of the model are 0 to 2" in told
    assert "set/cut.png: not an image" in told and "(3 of 4 cannot be read)" in told
    assert {p.name for p in (files / "results").iterdir()} == {"good_predict.png", "good_true.png"}
    skipped = command(*PREDICT, "--input", "set", "--on-bad-data", "skip", "--results", "out")
    assert (skipped.returncode, skipped.stdout) == (0, done.stdout)


ERRORS = [
    ("--input a.png --format csv", 2, "--format: --predict-mode segment writes pictures"),
    ("--input a.png --report r", 2, "--report: --predict-mode segment writes pictures"),
    ("--input a.png --draw d.png", 2, "--draw: --predict-mode segment writes pictures"),
    ("--input . --extension imagenet,crop=8", 2, "give --extension image"),
    ("--input a.png --model whole.mdl", 2, "end its network in R[1]"),
    ("--input a.png --results a.png", 3, "cannot make the directory: a.png: File exists"),
    ("--input labels", 3, "but label pictures"),
    ("--input a.png --predict-mode segmnt", 2, "did you mean 'segment'?"),
]


@pytest.mark.parametrize(("words", "code", "message"), ERRORS, ids=[each[0] for each in ERRORS])
def test_mistakes_are_told(
    words: str, code: int, message: str, files: Path, command: Command
) -> None:
    paint(files / "a.png", "rg bb")
    paint(files / "labels/a_true.png", "rg bb")
    save_model(Model.create("P.A R", (3, 8, 8), ["blue", "green", "red"]), files / "whole.mdl")
    done = command(*PREDICT, *words.split())
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in done.stderr.splitlines()[-1]
