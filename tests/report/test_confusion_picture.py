"""confusion.png."""

import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageColor

from denet.errors import UsageError
from denet.evaluate.topk import TopErrors
from denet.report.confusion import draw_confusion
from denet.report.drawing import BLUE, LONGEST, RED, short_name


@pytest.fixture(autouse=True)
def plots():
    pytest.importorskip("matplotlib")


def counted(pairs, class_num):
    errors = TopErrors(class_num)
    errors.pairs = Counter(pairs)
    return errors


def drawn(errors, labels, path, font=None):
    """Return how many pixels of the matrix, left of the list, are blue and red, and its width."""
    draw_confusion(errors, labels, path, font)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    matrix = pixels[:, : pixels.shape[1] - 900]
    areas = [
        int((matrix == np.array(ImageColor.getrgb(colour))).all(axis=2).sum())
        for colour in (BLUE, RED)
    ]
    return (*areas, pixels.shape)


@pytest.mark.parametrize("class_num", [1, 2, 10, 100, 1000])
def test_any_number_of_classes(class_num, tmp_path):
    rng = np.random.default_rng(0)
    pairs = {(k, k): 40 for k in range(class_num)}
    pairs |= {tuple(rng.integers(0, class_num, 2).tolist()): 5 for _ in range(2 * class_num)}
    labels = [f"class {number}" for number in range(class_num)]
    _, _, (height, width, _) = drawn(counted(pairs, class_num), labels, tmp_path / "a.png")
    assert 500 < height < 2500 and 1500 < width < 3500


def test_blue_is_right_and_red_is_mistaken(tmp_path):
    right, wrong = {(0, 0): 9, (1, 1): 9}, {(0, 1): 9, (1, 0): 9}
    blue, red, _ = drawn(counted(right, 2), "ab", tmp_path / "right.png")
    assert blue > 50_000 and red == 0
    blue, red, _ = drawn(counted(wrong, 2), "ab", tmp_path / "wrong.png")
    assert blue == 0 and red > 50_000
    # half as many cells have half the area, whatever their number of samples
    blue, red, _ = drawn(counted({(0, 0): 90, (1, 0): 1}, 2), "ab", tmp_path / "half.png")
    assert blue == pytest.approx(red, rel=0.05)


def test_names_of_any_kind(tmp_path, recwarn):
    labels = ["$x_1$", "$", "a\nb", "\udcff", "\u732b" * 30, "w" * 300, "\u03b1\u0436\u00f1", ""]
    pairs = {(k, (k + 1) % 8): k + 1 for k in range(8)}
    drawn(counted(pairs, 8), labels, tmp_path / "a.png")
    font = sys.modules["matplotlib"].get_data_path() + "/fonts/ttf/DejaVuSerif.ttf"
    drawn(counted(pairs, 8), labels, tmp_path / "b.png", font)
    assert not recwarn


@pytest.mark.parametrize(
    "name, short",
    [
        ("cat", "cat"),
        ("a" * LONGEST, "a" * LONGEST),
        ("a" * 50, "a" * (LONGEST - 1) + "\u2026"),
        ("\u732b" * 50, "\u732b" * (LONGEST // 2 - 1) + "\u2026"),
    ],
)
def test_long_names_are_cut(name, short):
    assert short_name(name) == short


def test_missing_matplotlib_is_told_with_its_remedy(tmp_path, monkeypatch):
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    with pytest.raises(UsageError, match="pip install matplotlib"):
        draw_confusion(counted({}, 2), "ab", tmp_path / "a.png")
