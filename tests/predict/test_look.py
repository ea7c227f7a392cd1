"""Networks that slide over images, against the same computed in float64 from the pictures."""

from pathlib import Path

import numpy as np
import pytest
from model.files_of_ccv import classified, features, make_file, mean_activity
from PIL import Image
from training.tiny import TinySet

from denet.backend.numpy.backend import NumpyBackend
from denet.backend.select import choose_backend
from denet.errors import DescriptionError, UsageError
from denet.evaluate.classifier import Classifier
from denet.layer.options import LayerOptions
from denet.model.format import load_model
from denet.model.model import Model
from denet.model.sliding import slide
from denet.predict.classify import classify_images
from denet.predict.image_files import CoveringFiles
from denet.predict.look import Look
from denet.predict.loose import Files
from denet.predict.views import VIEWS, Pictures

FASTEST = choose_backend()  # oneDNN where it runs
OWN, SIZE = (11, 13), (15, 17)  # (width, height): of the network of files_of_ccv and its mean image
# none is scaled: one side is that of SIZE, the other as long or longer
SIZES = [(15, 17), (22, 17), (15, 24), (22, 17), (38, 17), (16, 17), (15, 17)]


def middle(x: np.ndarray, step: int) -> np.ndarray:
    """Return the middle of x (h, w, c) that is of OWN and whole steps."""
    sides = [
        own + (side - own) // step * step for own, side in zip(OWN[::-1], x.shape, strict=False)
    ]
    y, x0 = (-(-(side - kept) // 2) for side, kept in zip(x.shape, sides, strict=False))
    return x[y : y + sides[0], x0 : x0 + sides[1]]


def less_mean(x: np.ndarray) -> np.ndarray:
    """Return pixels less the mean image, stretched over all of them."""
    size = x.shape[1], x.shape[0]
    planes = np.ascontiguousarray(mean_activity().transpose(2, 0, 1))
    mean = [Image.fromarray(each).resize(size, Image.Resampling.BICUBIC) for each in planes]
    return x - np.stack(mean, axis=2).astype(float)


def five(x: np.ndarray) -> list[np.ndarray]:
    """Return the class probabilities of the windows of the last convolution's map of x."""
    x = features(x)
    down, right = x.shape[0] - 5, x.shape[1] - 3  # the map of an image of OWN is 5x3
    corners = [(0, 0), (0, right), (-(-down // 2), -(-right // 2)), (down, 0), (down, right)]
    return [classified(x[y : y + 5, x0 : x0 + 3]) for y, x0 in corners]


def ccv10(pixels: np.ndarray) -> np.ndarray:
    x = less_mean(middle(pixels, 2))
    return np.mean(five(x) + five(x[:, ::-1]), axis=0)


def ccv30(pixels: np.ndarray) -> np.ndarray:
    down, right = pixels.shape[0] - 17, pixels.shape[1] - 15
    found = []
    for y, x0 in [(0, 0), (-(-down // 2), -(-right // 2)), (down, right)]:
        crop = pixels[y : y + 17, x0 : x0 + 15] - mean_activity().astype(float)
        found += five(crop) + five(crop[:, ::-1])
    assert len(found) == 30
    return np.mean(found, axis=0)


def dense(pixels: np.ndarray) -> np.ndarray:
    """Return the mean over windows of the last convolution that are two cells apart (a pool)."""
    x = features(less_mean(middle(pixels, 4)))
    places = [(y, x0) for y in range(0, x.shape[0] - 4, 2) for x0 in range(0, x.shape[1] - 2, 2)]
    return np.mean([classified(x[y : y + 5, x0 : x0 + 3]) for y, x0 in places], axis=0)


BY_HAND = {"ccv10": ccv10, "ccv30": ccv30, "dense": dense}


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Write noise of SIZES as files, and a model of ccv."""
    make_file(tmp_path / "a.sqlite3")
    rng = np.random.default_rng(5)
    found = [str(tmp_path / f"{number}.png") for number in range(len(SIZES))]
    for path, (width, height) in zip(found, SIZES, strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return found


def answers(paths: list[str], name: str, backend=None, precision="f32", thread_num=1, files=None):
    model = load_model(Path(paths[0]).with_name("a.sqlite3"))
    files = files or CoveringFiles(Files(paths), model.class_labels, (3, *SIZE[::-1]))
    look = Look(model, name)
    images = look.cut(files, SIZE, Pictures(files, files.loose, SIZE, "whole", 3))
    classifier = look.classifier(images, 7, backend or NumpyBackend(), precision)
    found = []
    classes = list(classify_images(classifier, images, 2, thread_num, lambda p, _: found.extend(p)))
    assert [each.name for each in classes if each.classes] == [
        path for path in paths if path not in [name for name, _ in images.bad]
    ]
    return np.array(found)


@pytest.mark.parametrize("name", BY_HAND)
def test_images_of_any_shape(name: str, paths: list[str]) -> None:
    expected = [BY_HAND[name](np.asarray(Image.open(path)).astype(float)) for path in paths]
    assert np.ptp(expected, axis=0).max() > 1e-2, "all images look the same"
    np.testing.assert_allclose(answers(paths, name), expected, rtol=2e-5)
    np.testing.assert_allclose(answers(paths, name, FASTEST), expected, rtol=2e-5)
    half = answers(paths, name, FASTEST, "bf16", 3)
    np.testing.assert_allclose(half, expected, atol=0.02)


@pytest.mark.parametrize("name", BY_HAND)
def test_what_cannot_be_read_is_left_out(name: str, paths: list[str]) -> None:
    Path(paths[1]).write_bytes(b"nothing")
    Image.fromarray(np.zeros((1, 5000, 3), np.uint8)).save(paths[3])
    expected = [
        BY_HAND[name](np.asarray(Image.open(path)).astype(float))
        for number, path in enumerate(paths)
        if number not in (1, 3)
    ]
    labels = load_model(Path(paths[0]).with_name("a.sqlite3")).class_labels
    files = CoveringFiles(Files(paths), labels, (3, *SIZE[::-1]))
    np.testing.assert_allclose(answers(paths, name, files=files), expected, rtol=2e-5)
    (one, why), (other, long) = sorted(files.bad)
    assert (one, why, other) == (paths[1], "not an image", paths[3])
    assert long == "85000x17 pixels when it is scaled: too many"


# networks without borders: stride 1 up to the last convolution, so that windows of its map are
# those of windows of pixels
NETWORKS = {
    "C[4,3] A C[5,2] BN A P[2] F[6] A R.TB": "C[4,3] A C[5,2] BN A",
    "C[4,3] LRN A D P.A R.T": "C[4,3] LRN A D",
    "C[4,3] A SKIPSRC C[4] BN SKIP A P.A[5,3] F[5] R.T": "C[4,3] A SKIPSRC C[4] BN SKIP A",
    "C[4,3] SKIPSRC SKIP.C C[4,2] SKIPSRC[1] A SKIP[1] P[3] R.T": "C[4,3] SKIPSRC SKIP.C C[4,2]",
    "RSN.O[4,1] P.A[2,1] nRSN[1,6,1] P.A R.T": "RSN.O[4,1] P.A[2,1] RSN[6,1]",
    "C[4,3] P.A C[5] A R.T": "C[4,3] P.A C[5] A",
    "P.A[2,1] F[5] A R.T": "",
}


@pytest.mark.parametrize("text", NETWORKS)
def test_windows_of_the_map_are_windows_of_pixels(text: str) -> None:
    model = random_model(text)
    assert slide(model, windows=True).model.layers
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (2, 19, 17, 3), np.uint8)
    windows = []
    for image in pixels / np.float32(255):
        for left, down in [(0, 0), (1, 2), (2, 4)]:  # crops of 15x15
            crop = image[down : down + 15, left : left + 15]
            for y, x in [(0, 0), (0, 3), (2, 2), (3, 0), (3, 3)]:
                windows += [each[y : y + 12, x : x + 12] for each in (crop, crop[:, ::-1])]
    expected = Classifier(model, len(windows), NumpyBackend()).probabilities(np.array(windows))
    expected = expected.reshape(2, 30, -1).mean(axis=1)
    look = Look(model, "ccv30")
    images = look.cut(TinySet(pixels, [0, 1], 3), (15, 15))
    found = []
    each = classify_images(
        look.classifier(images, 5, FASTEST),
        images,
        each=lambda probabilities, _: found.extend(probabilities),
    )
    assert [answer.label for answer in each] == ["a", "b"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def random_model(text: str) -> Model:
    model = Model.create(text, (3, 12, 12), ["a", "b", "c"])
    rng = np.random.default_rng(2)
    for arrays in model.parameters:
        for name, value in arrays.items():
            drawn = rng.normal(0, 0.5, value.shape).astype(np.float32)
            arrays[name] = np.abs(drawn) + 0.1 if name.endswith("variance") else drawn
    return model


@pytest.mark.parametrize("text", NETWORKS)
def test_what_goes_up_to_the_last_convolution(text: str) -> None:
    count = len(slide(random_model(text), windows=True).model.layers) - 1
    model = random_model(text)
    model.layers = model.layers[:count]
    assert model.text() == NETWORKS[text]


STEPS = {
    "C.X[4,3,3,2,1] A P[2] R": (2, 4),
    "C[4,3] P[3,2] C[4,1,2] P.A R": (4, 4),
    "C[4,2,2] SKIPSRC C[4,2,2] DC[4,1,2] P[1] SKIP R.T[1]": (4, 4),
    "C[4,2,2] PI[2] C[4,3,3] R.T[1]": (6, 6),
    "nRSN[1,4,1,2] P.A[2] R.T[1]": (4, 4),
    "F[3] R": (1, 1),
}


@pytest.mark.parametrize("text", STEPS)
def test_images_grow_in_steps_by_which_maps_grow_by_whole_cells(text: str) -> None:
    model = Model.create(text, (3, 24, 28), ["a", "b", "c"])
    sliding = slide(model, windows=False)
    right, down = sliding.steps
    assert (right, down) == STEPS[text]
    maps = [sliding.at(28 + n * right, 24 + n * down).input_maps() for n in range(3)]
    for first, second, third in zip(*maps, strict=True):
        growth = np.subtract(second, first)
        assert (np.subtract(third, second) == growth).all() and growth[:2].min() > 0
    assert sliding.trimmed((28 + 3 * right, 24 + down)) == (28 + 3 * right, 24 + down)


@pytest.mark.parametrize("windows", [True, False])
def test_no_row_that_the_map_of_the_whole_image_has_is_lost(windows: bool) -> None:
    """The pool leaves one of 21 rows over: two more rows of the image make one more of its map."""
    text = "C[8,3,2] A P[2] C[4,1] A R" if windows else "C[8,3,2] A P[2] R"
    model = Model.create(text, (3, 42, 56), ["a", "b"], LayerOptions(border_mode="half"))
    sliding = slide(model, windows)
    for height, rows in {42: 10, 43: 11, 46: 11, 47: 12, 48: 12, 49: 12, 51: 13}.items():
        assert ((height - 1) // 2 + 1) // 2 == rows
        assert sliding.at(*sliding.trimmed((56, height))).input_maps()[3][:2] == (rows, 14)


def test_images_of_windows_that_end_with_them_are_those_of_ccv() -> None:
    """225 + 16 n for a network of three halvings behind a window of 4 (ccv)."""
    model = Model.create("C[4,3] P[3,2] C[4,3] P[3,2] R", (3, 21, 21), ["a", "b"])
    sliding = slide(model, windows=False)
    assert [sliding.trimmed((21, 21 + n))[1] for n in range(9)] == [21] * 4 + [25] * 4 + [29]


def test_five_windows_of_a_map_that_is_the_networks_own() -> None:
    """An image of the network's own size has one window, five times."""
    model = random_model("C[4,3,2] A P[2] R.T")
    pixels = np.random.default_rng(3).integers(0, 256, (3, 12, 12, 3), np.uint8)
    expected = Classifier(model, 3, NumpyBackend()).probabilities(pixels / np.float32(255)).copy()
    look = Look(model, "dense")
    images = look.cut(TinySet(pixels, [0, 1, 2], 3), (12, 12))
    found = look.classifier(images, 3, NumpyBackend()).probabilities(pixels / np.float32(255))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_cannot_slide_is_told() -> None:
    model = Model.create("C[4,3] CM[8] R", (3, 12, 12), ["a", "b"])
    for name in ("ccv10", "ccv30", "dense"):
        with pytest.raises(DescriptionError, match=r'layer 2 "CM\[8\]": it cuts the middle out'):
            Look(model, name)
    Look(model, "alex10")


def test_a_network_that_is_no_classifier_is_told() -> None:
    model = random_model("C[4,3] A R")
    model.layers, model.parameters = model.layers[:2], model.parameters[:2]
    images = TinySet(np.zeros((1, 15, 15, 3), np.uint8), [0], 3)
    for name in VIEWS:
        look = Look(model, name)
        with pytest.raises(UsageError, match="it gives no class probabilities"):
            look.classifier(look.cut(images, (15, 15)), 1, NumpyBackend())
