"""model-predict --views, compared with what the network says of windows cut by hand."""

import csv
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from denet.model.format import load_model, save_model
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

SIDE, SIZE = 14, 16  # of the network input, and of what 256/224 of it is
PREDICT = ["model-predict", "--backend", "numpy", "--precision", "f32", "--model", "m.mdl"]
BICUBIC = Image.Resampling.BICUBIC
SIZES = {"cat/a.png": (16, 16), "cat/b.png": (24, 16), "dog/c.png": (16, 20), "dog/d.png": (16, 16)}


@pytest.fixture(params=[False, True], ids=["plain", "mean-image"])
def files(request, tmp_path: Path) -> Path:
    """Lay out noise that needs no scaling, and a model that looks at every pixel."""
    rng = np.random.default_rng(0)
    mean = rng.uniform(0, 1, (SIZE, SIZE, 3)) if request.param else None
    own = Preprocessing((), (0.5,) * 3, mean)
    model = Model.create("R", (3, SIDE, SIDE), ["cat", "dog"], None, 0, own)
    model.parameters[0]["weight"][:] = rng.normal(0, 0.1, (2, 3, SIDE, SIDE))
    save_model(model, tmp_path / "m.mdl")
    for name, (width, height) in SIZES.items():
        file = tmp_path / "set" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file)
    (tmp_path / "list.txt").write_text("".join(f"set/{name}\n" for name in SIZES))
    lines = [f"{name[:3]} set/{name}\n" for name in SIZES]
    (tmp_path / "labelled.txt").write_text("".join(lines))
    return tmp_path


def by_hand(files: Path, name: str) -> dict[str, float]:
    """Return the probability of cat for each image, in float64.

    Without convolutions windows of the map that these make are windows of pixels.
    """
    model = load_model(files / "m.mdl")
    weight = model.parameters[0]["weight"].transpose(0, 2, 3, 1).astype(np.float64)
    mean = model.preprocessing.mean_image
    mean = np.zeros((SIZE, SIZE, 3)) if mean is None else mean.astype(np.float64)
    found = {}
    for file in SIZES:
        pixels = np.asarray(Image.open(files / "set" / file)) / 255
        height, width = pixels.shape[:2]
        spare = max(width, height) - SIZE
        dense = name.startswith("dense")
        if name in ("ccv10", "dense"):
            planes = np.float32(mean).transpose(2, 0, 1).copy()
            planes = [Image.fromarray(each).resize((width, height), BICUBIC) for each in planes]
            crops = [pixels - np.stack(planes, axis=2)]
        else:
            lefts = {"ccv30": (0, -(-spare // 2), spare)}.get(name, (-(-spare // 2),))
            starts = [(left, 0) if height > width else (0, left) for left in lefts]
            crops = [pixels[y : y + SIZE, x : x + SIZE] - mean for y, x in starts]
        answers = []
        for crop in crops:
            down, right = (side - SIDE for side in crop.shape[:2])
            corners = [
                (-(-down // 2), -(-right // 2)),
                (0, 0),
                (0, right),
                (down, 0),
                (down, right),
            ]
            if dense:
                corners = list(np.ndindex(down + 1, right + 1))
            for y, x in corners[:1] if name == "centre" else corners:
                window = crop[y : y + SIDE, x : x + SIDE] / 0.5
                for each in [window] if dense or name == "centre" else [window, window[:, ::-1]]:
                    logits = np.exp((weight * each).sum(axis=(1, 2, 3)))
                    answers.append(logits[0] / logits.sum())
        found[f"set/{file}"] = float(np.mean(answers))
    return found


def told(text: str) -> dict[str, float]:
    """Return the probability of cat of each image of a table of answers."""
    return {
        row["image"]: float(row[f"probability_{1 if row['class_1'] == 'cat' else 2}"])
        for row in csv.DictReader(text.splitlines())
    }


SOURCES = [
    *("list.txt", "labelled.txt --extension png", "set"),
    "set --extension imagenet --batch-size 7",
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["centre", "alex10", "ccv10", "ccv30", "dense"])
def test_views(name: str, source: str, files: Path, command: Command) -> None:
    done = command(*PREDICT, "--input", *source.split(), "--views", name, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert told(done.stdout) == pytest.approx(by_hand(files, name), rel=1e-4)
    assert ("top-1 error" in done.stderr) == (source != "list.txt")


def test_dense_takes_one_size_for_all_where_it_is_given(files: Path, command: Command) -> None:
    words = f"--input set --views dense --extension image,crop={SIZE} --format csv".split()
    done = command(*PREDICT, *words)
    assert told(done.stdout) == pytest.approx(by_hand(files, "dense of a crop"), rel=1e-4)
    assert "--views dense:" not in done.stderr
    done = command(*PREDICT, *(word.replace(str(SIZE), "30") for word in words))
    assert "--views dense: each image takes the work of 289 of the network's" in done.stderr


@pytest.mark.parametrize("name", ["caffe10", "ccv10"])
def test_arrays_and_square_images_are_cut_as_they_are(
    name: str, files: Path, command: Command
) -> None:
    for file in SIZES:
        pixels = np.asarray(Image.open(files / "set" / file))[:SIZE, :SIZE]
        Image.fromarray(pixels).save(files / "set" / file)
    expected = by_hand(files, "alex10")
    done = command(*PREDICT, "--input", "set", "--views", name, "--format", "csv")
    assert told(done.stdout) == pytest.approx(expected, rel=1e-4)
    model = load_model(files / "m.mdl")
    model.class_labels = ["0", "1"]
    save_model(model, files / "m.mdl")
    arrays = [np.asarray(Image.open(files / "set" / file)) for file in SIZES]
    np.save(files / "a_data.npy", np.array(arrays).transpose(0, 3, 1, 2))
    np.save(files / "a_labels.npy", [0, 0, 1, 1])
    words = ("--input", "a", "--extension", "npy", "--views", name, "--format", "csv")
    rows = csv.DictReader(command(*PREDICT, *words).stdout.splitlines())
    cat = [float(row[f"probability_{1 if row['class_1'] == '0' else 2}"]) for row in rows]
    assert cat == pytest.approx(list(expected.values()), rel=1e-4)


@pytest.mark.parametrize("name", ["centre", "alex10", "ccv30"])
def test_an_odd_rest_moves_no_pixel(name: str, files: Path, command: Command) -> None:
    for file in SIZES:  # one column too many
        path = files / "set" / file
        image = Image.open(path).crop((0, 0, SIZE, SIZE)).resize((SIZE + 1, SIZE))
        image.save(path)
    for source in SOURCES:
        words = ["--input", *source.split(), "--views", name, "--format", "csv"]
        found = told(command(*PREDICT, *words).stdout)
        assert found == pytest.approx(by_hand(files, name), rel=1e-4)


@pytest.mark.parametrize("extension", ["png,crop=14", "imagenet,crop=14"])
def test_lists_that_tell_classes(extension: str, files: Path, command: Command) -> None:
    words = [*PREDICT, "--extension", extension, "--input"]
    expected = command(*words, "set")
    assert expected.returncode == 0 and "top-1 error" in expected.stdout
    done = command(*words, "labelled.txt")
    assert (done.returncode, done.stdout) == (0, expected.stdout), done.stderr
    text = (files / "labelled.txt").read_text()
    (files / "labelled.txt").write_text(text.replace("dog ", "fox "))
    done = command(*words, "labelled.txt")
    assert done.returncode == 3 and "class 'fox' is not one of the 2 classes" in done.stderr


def test_views_are_scaled_alike_whatever_the_layout(files: Path, command: Command) -> None:
    for file in SIZES:
        path = files / "set" / file
        Image.open(path).resize((37, 41)).save(path)
    for name in ("centre", "alex10", "caffe10", "dense"):
        answers = [
            told(
                command(
                    *PREDICT, "--input", *each.split(), "--views", name, "--format", "csv"
                ).stdout
            )
            for each in SOURCES
        ]
        assert len(answers[0]) == 4
        assert all(each == pytest.approx(answers[0], rel=1e-5) for each in answers)


@pytest.mark.parametrize("name", ["ccv10", "dense", "alex10"])
def test_damaged_images_are_left_out(name: str, files: Path, command: Command) -> None:
    file = files / "set/cat/a.png"
    file.write_bytes(file.read_bytes()[:200])
    for source in ("list.txt", "set --batch-size 3", "set --extension imagenet"):
        words = ["--input", *source.split(), "--views", name, "--format", "csv"]
        done = command(*PREDICT, *words)
        assert (done.returncode, len(told(done.stdout))) == (3, 3), done.stderr
        assert "set/cat/a.png" in done.stderr and "(1 of 4 cannot be read)" in done.stderr


ERRORS = [
    ("--views alex11", 2, "alex11"),
    ("--views alex10 --predict-mode multicrop", 2, "--views: together with --predict-mode multic"),
    ("--views ccv10 --predict-mode segment", 2, "--views: together with --predict-mode segment"),
    ("--views ccv10 --extension image,crop=13", 3, "images are 3x13x13 (channels x height"),
    ("--views dense --extension image,crop=13", 3, "images are 3x13x13 (channels x height"),
    ("--views dense --extension voc,2007-test", 2, "its images have no class of their own"),
]


@pytest.mark.parametrize(("words", "code", "message"), ERRORS, ids=[each[0] for each in ERRORS])
def test_mistakes_are_told(
    words: str, code: int, message: str, files: Path, command: Command
) -> None:
    done = command(*PREDICT, "--input", "set", *words.split())
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in done.stderr.splitlines()[-1]
