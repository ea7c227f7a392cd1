"""model-predict --predict-mode multicrop, compared with single on crops that Pillow has cut."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image, ImageOps

from denet.model.format import save_model
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

SIDE = 14  # of the network input; 16 is 256/224 of it
PREDICT = ["model-predict", "--backend", "numpy", "--model", "m.mdl", "--input"]
MULTICROP = ["--predict-mode", "multicrop"]
SIZES = {"cat/a.png": (16, 16), "cat/b.jpg": (40, 30), "dog/c.png": (9, 13), "dog/d.png": (24, 16)}

Probabilities = dict[str, float]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Lay out noise in directories of two classes, and a model that looks at every pixel."""
    save_network(tmp_path, ["cat", "dog"])
    save_noise(tmp_path, list(SIZES.values()))
    return tmp_path


def save_network(files: Path, class_labels: list[str]) -> None:
    rng = np.random.default_rng(0)
    model = Model.create("R", (3, SIDE, SIDE), class_labels, None, 0, Preprocessing((0.5,) * 3))
    model.parameters[0]["weight"][:] = rng.normal(0, 0.5, (2, 3, SIDE, SIDE))
    save_model(model, files / "m.mdl")


def save_noise(files: Path, sizes: list[tuple[int, int]]) -> None:
    """Write an image of each (width, height)."""
    rng = np.random.default_rng(1)
    for name, (width, height) in zip(SIZES, sizes, strict=True):
        file = files / "set" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(file, format=None if sizes == [*SIZES.values()] else "png")


def crops(image: Image.Image) -> list[Image.Image]:
    """Cut the ten views of an image: centre and corners, and the same mirrored."""
    right, low = image.width - SIDE, image.height - SIDE
    places = [((right + 1) // 2, (low + 1) // 2), (0, 0), (right, 0), (0, low), (right, low)]
    cut = [image.crop((x, y, x + SIDE, y + SIDE)) for x, y in places]
    return cut + [ImageOps.mirror(each) for each in cut]


def told(text: str) -> dict[str, Probabilities]:
    """Return the class probabilities of each image of a table of answers."""
    return {
        row["image"]: {row[f"class_{n}"]: float(row[f"probability_{n}"]) for n in (1, 2)}
        for row in csv.DictReader(text.splitlines())
    }


def by_hand(
    files: Path, command: Command, whole: Callable[[Image.Image], Image.Image]
) -> dict[str, Probabilities]:
    """Average what single says of the crops of each image, made ``whole`` first."""
    folder = files / "crops"
    folder.mkdir()
    for number, name in enumerate(SIZES):
        for place, crop in enumerate(crops(whole(Image.open(files / "set" / name)))):
            crop.save(folder / f"{number}_{place}.png")
    done = command(*PREDICT, "crops", "--format", "csv")
    assert done.returncode == 0, done.stderr
    single = told(done.stdout)
    assert len(single) == 10 * len(SIZES)
    return {
        f"set/{name}": {
            label: np.mean([single[f"crops/{number}_{place}.png"][label] for place in range(10)])
            for label in ("cat", "dog")
        }
        for number, name in enumerate(SIZES)
    }


def check(found: dict[str, Probabilities], expected: dict[str, Probabilities]) -> None:
    assert found.keys() == expected.keys()
    for name, probabilities in expected.items():
        assert found[name] == pytest.approx(probabilities, rel=1e-4, abs=1e-6), name


def fit(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (16, 16), Image.Resampling.BICUBIC)


# what is given, and options; batches need not hold whole images
INPUTS = ["set", "set --batch-size 3", "set --batch-size 25 --thread-num 2", "list.txt"]
INPUTS += ["set --extension image,crop=16", "list.txt --batch-size 1"]
INPUTS += ["set --extension image,crop=14"]  # that of training, which leaves nothing to cut


@pytest.mark.parametrize("words", INPUTS)
def test_the_mean_of_ten_crops(words: str, files: Path, command: Command) -> None:
    (files / "list.txt").write_text("".join(f"set/{name}\n" for name in SIZES))
    expected = by_hand(files, command, fit)
    done = command(*PREDICT, *words.split(), *MULTICROP, "--format", "csv")
    assert done.returncode == 0, done.stderr
    check(told(done.stdout), expected)
    labelled = words.startswith("set")
    wrong = sum(max(p, key=p.__getitem__) not in name for name, p in expected.items())
    error = f"top-1 error {25 * wrong:.3f}%"
    assert (done.stderr.splitlines()[-2:] == [error, "top-5 error 0.000%"]) == labelled


def test_one_image_is_drawn(files: Path, command: Command) -> None:
    expected = by_hand(files, command, fit)
    words = ["set/cat/b.jpg", *MULTICROP, "--draw", "d.png", "--format", "csv"]
    done = command(*PREDICT, *words)
    check(told(done.stdout), {"set/cat/b.jpg": expected["set/cat/b.jpg"]})
    with Image.open(files / "d.png") as picture:
        assert picture.width > 300


@pytest.mark.parametrize("side", [SIDE, 17])
def test_arrays(side: int, files: Path, command: Command) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (4, side, side, 3), np.uint8)
    for image, name in zip(images, SIZES, strict=True):
        Image.fromarray(image).save(files / "set" / name, format="png")
    expected = by_hand(files, command, lambda image: image)
    save_network(files, ["0", "1"])
    np.save(files / "a_data.npy", images.transpose(0, 3, 1, 2))
    np.save(files / "a_labels.npy", [0, 0, 1, 1])
    words = ["a", "--extension", "npy", *MULTICROP, "--format", "csv", "--report", "r"]
    done = command(*PREDICT, *words)
    assert done.returncode == 0, done.stderr
    found = [(p["0"], p["1"]) for p in told(done.stdout).values()]
    np.testing.assert_allclose(found, [[*p.values()] for p in expected.values()], rtol=1e-4)
    assert "mistakes.png" in {path.name for path in (files / "r").iterdir()}


@pytest.mark.parametrize("words", ["imagenet,scale=16,crop=14", "imagenet", "imagenet,crop=14"])
def test_imagenet(words: str, files: Path, command: Command) -> None:
    """The whole image counts, not its centre; none of these needs to be scaled."""
    save_noise(files, [(16, 16), (16, 20), (24, 16), (16, 16)])
    expected = by_hand(files, command, lambda image: image)
    done = command(
        *PREDICT, "set", "--extension", words, *MULTICROP, "--format", "csv", "--batch-size", 7
    )
    assert done.returncode == 0, done.stderr
    check(told(done.stdout), expected)
    scale = "" if "scale" in words else ",scale=16"
    same = [f"{words}{scale},multicrop", "--format", "csv"]
    assert command(*PREDICT, "set", "--extension", *same).stdout == done.stdout


def test_single_takes_imagenet_too(files: Path, command: Command) -> None:
    save_noise(files, [(18, 16)] * 4)
    for name in SIZES:
        pixels = np.asarray(Image.open(files / "set" / name))
        centre = files / "centre" / name
        centre.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[1:15, 2:16]).save(centre, format="png")
    words = ["set", "--extension", "imagenet,scale=16,crop=14", "--format", "csv"]
    found = told(command(*PREDICT, *words).stdout)
    centres = command(*PREDICT, "centre", "--extension", "image", "--format", "csv").stdout
    check({name.replace("set/", "centre/"): p for name, p in found.items()}, told(centres))


def test_damaged_images_are_left_out(files: Path, command: Command) -> None:
    whole = (files / "set/cat/a.png").read_bytes()
    (files / "set/cat/a.png").write_bytes(whole[: len(whole) // 2])
    (files / "list.txt").write_text("".join(f"set/{name}\n" for name in SIZES))
    words = ["--format", "csv", *MULTICROP, "--batch-size", 4, "--thread-num", 2]
    for source in (["set"], ["set", "--extension", "imagenet"], ["list.txt"]):
        done = command(*PREDICT, *source, *words)
        assert (done.returncode, len(told(done.stdout))) == (3, 3), done.stderr
        assert "set/cat/a.png" in done.stderr and "(1 of 4 cannot be read)" in done.stderr
        skipped = command(*PREDICT, *source, *words, "--on-bad-data", "skip")
        assert (skipped.returncode, skipped.stdout) == (0, done.stdout)


ERRORS = [
    ("--extension image,crop=13", 3, "images are 3x13x13 (channels x height x width) but views"),
    ("--extension voc,2007-test", 2, "--extension voc: its images have no class of their own"),
    ("--extension npy", 3, "no such file"),
    ("--extension imagenet,crop=16", 3, "images are 16x16 with 3 channels, but 14x14"),
    ("--extension image,crop=x", 2, "crop=x: --extension: give a size"),
    ("--predict-mode multicorp", 2, "did you mean 'multicrop'?"),
    ("--predict-mode multicrop,voc", 2, "after multicrop may stand nothing"),
]


@pytest.mark.parametrize(("words", "code", "message"), ERRORS, ids=[each[0] for each in ERRORS])
def test_mistakes_are_told(
    words: str, code: int, message: str, files: Path, command: Command
) -> None:
    done = command(*PREDICT, "set", *MULTICROP, *words.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[-1]
