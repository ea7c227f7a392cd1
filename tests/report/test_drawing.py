"""The picture of an image beside its classes."""

import logging
import os

import numpy as np
import pytest
from PIL import Image, ImageColor

from denet.errors import UsageError
from denet.report.drawing import BLUE, GREEN, RED, draw_classes

CLASSES = [("cat", 0.75), ("dog", 0.25), ("frog", 0.0)]


def colour_count(picture, colour):
    """Return how many pixels have exactly this colour, and how many columns they cover."""
    found = (np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=2)
    return int(found.any(axis=0).sum())


@pytest.mark.parametrize("size", [(32, 32), (500, 375), (2000, 700), (1, 1000), (7, 3)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_any_image_is_drawn_large_enough(size, mode):
    picture = draw_classes(Image.new(mode, size), CLASSES)
    assert picture.mode == "RGB"
    assert 320 <= max(picture.size) <= 2000


def test_small_images_show_their_pixels_unsmoothed():
    image = Image.fromarray(np.arange(64 * 3, dtype=np.uint8).reshape(8, 8, 3))
    picture = np.asarray(draw_classes(image, CLASSES))
    top = (picture.shape[0] - 320) // 2
    left = 15
    np.testing.assert_array_equal(
        picture[top : top + 320 : 40, left : left + 320 : 40], np.asarray(image)
    )


def test_bars_are_as_long_as_the_probabilities():
    full = colour_count(draw_classes(Image.new("L", (64, 64)), [("cat", 1.0)]), BLUE)
    part = colour_count(draw_classes(Image.new("L", (64, 64)), CLASSES), BLUE)
    assert part == pytest.approx(0.75 * full, abs=2)


@pytest.mark.parametrize(
    "label, blue, green, red",
    [(None, True, False, False), ("cat", False, True, False), ("dog", False, True, True)],
)
def test_colours_tell_right_from_wrong(label, blue, green, red):
    picture = draw_classes(Image.new("L", (64, 64)), CLASSES, label)
    found = [colour_count(picture, colour) > 50 for colour in (BLUE, GREEN, RED)]
    assert found == [blue, green, red]


def test_long_names_stay_inside():
    short = draw_classes(Image.new("L", (64, 64)), [("a", 0.5)])
    long = draw_classes(Image.new("L", (64, 64)), [("a b" * 200, 0.5)])
    assert short.size == long.size


def test_letters_without_a_sign_are_told(caplog):
    with caplog.at_level(logging.WARNING):
        draw_classes(Image.new("L", (64, 64)), [("\u732b", 0.5)])
    assert "no letters for \u732b" in caplog.text


def test_a_font_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "a.ttf").write_text("no font")
    with pytest.raises(UsageError, match=r"a\.ttf.*TrueType"):
        draw_classes(Image.new("L", (64, 64)), CLASSES, font_file=str(tmp_path / "a.ttf"))
    os.mkfifo(tmp_path / "b.ttf")
    with pytest.raises(UsageError, match=r"b\.ttf: a device or pipe"):
        draw_classes(Image.new("L", (64, 64)), CLASSES, font_file=str(tmp_path / "b.ttf"))


def test_names_that_are_no_words_are_drawn():
    for name in ("a\nb", "a\x00", "\udcff", ""):
        draw_classes(Image.new("L", (64, 64)), [(name, 0.5)], name)
