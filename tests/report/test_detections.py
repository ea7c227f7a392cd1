"""Pictures of what was found."""

import numpy as np
import pytest
from evaluate.boxed import detections
from PIL import Image, ImageColor

from denet.report import drawing
from denet.report.detections import (
    LARGEST,
    MANY,
    SMALLEST,
    Objects,
    class_colour,
    draw_detections,
)

LABELS = [f"class {k}" for k in range(500)]


def image(width=900, height=600, colour=(128, 128, 128)):
    return Image.new("RGB", (width, height), colour)


def places(picture, class_index):
    """Return where (y, x) the colour of a class is."""
    colour = np.array(ImageColor.getrgb(class_colour(class_index)))
    return np.argwhere((np.asarray(picture) == colour).all(axis=2))


def test_a_box_is_where_it_says():
    picture = draw_detections(image(), detections([(0, 3, 0.9, (100, 50, 300, 250))]), LABELS)
    grey = np.argwhere((np.asarray(picture) == 128).all(axis=2))
    top, left = grey.min(axis=0)
    lines = places(picture, 3) - (top, left)
    lines = lines[lines[:, 0] < 600]  # not the legend
    columns, counts = np.unique(lines[:, 1], return_counts=True)
    assert {100, 299} <= set(columns[counts >= 200])
    assert columns.min() == 100 and columns.max() == 299 and lines[:, 0].max() == 249
    # nothing is inside but the picture itself
    inside = np.asarray(picture)[top + 110 : top + 240, left + 110 : left + 290]
    assert (inside == 128).all()


def test_what_is_known_stands_beside():
    found = detections([(0, 0, 0.9, (10, 10, 400, 400)), (0, 1, 0.1, (10, 10, 400, 400))])
    known = Objects(np.array([5]), np.array([[10, 10, 400, 400]]), ["difficult"])
    alone = draw_detections(image(), found, LABELS)
    both = draw_detections(image(), found, LABELS, known)
    assert both.width > 1.9 * alone.width
    legend = both.height - 60
    assert places(both, 0)[:, 1].max() < both.width / 2
    panel = places(both, 5)
    assert panel[panel[:, 0] < legend][:, 1].min() > both.width / 2
    assert not len(places(both, 1))  # below the score
    assert len(places(draw_detections(image(), found, LABELS, least_score=0.1), 1))


@pytest.mark.parametrize(
    "size", [(1, 1), (32, 32), (199, 10), (500, 375), (4000, 30), (30, 4000), (5000, 4000)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_any_image(size, mode):
    width, height = size
    found = detections([(0, k, 0.9, (0, 0, width, height)) for k in range(3)])
    known = Objects(np.array([1]), np.array([[0, 0, width / 2, height / 2]]))
    picture = draw_detections(Image.new(mode, size), found, LABELS, known)
    assert picture.mode == "RGB"
    shown = np.argwhere((np.asarray(picture) == 0).all(axis=2))
    assert min(SMALLEST, LARGEST) * 0.9 < max(np.ptp(shown, axis=0)) or max(size) > 30 > min(size)
    assert picture.width < 3 * LARGEST and picture.height < 1.5 * LARGEST


def test_hundreds_of_boxes_leave_the_image_visible():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 850, (400, 2)) * [1, 0.65]
    rows = [(0, k % 80, 0.3 + 0.7 * rng.random(), (*c, *(c + 45))) for k, c in enumerate(corner)]
    picture = np.asarray(draw_detections(image(), detections(rows), LABELS))
    grey = (picture == 128).all(axis=2)
    assert grey.sum() > 0.45 * 900 * 600
    few = np.asarray(draw_detections(image(), detections(rows[: MANY - 1]), LABELS))
    assert few.shape[0] < picture.shape[0]  # the legend grows


def test_words_do_not_cover_each_other():
    rows = [(0, k, 0.9, (200, 200, 400, 300)) for k in range(6)]
    picture = draw_detections(image(), detections(rows), LABELS)
    areas = [len(places(picture, k)) for k in range(6)]
    assert min(areas) > 500  # each has its ground, around its words and in the legend


@pytest.mark.parametrize("name", ["kangaroo", "\u00c5\u00c9 gj"])
def test_words_at_the_upper_edge_are_whole(name):
    """They look as those of a box further down."""
    pytest.importorskip("matplotlib")  # its font has letters with marks above them

    def words(top):
        box = detections([(0, 0, 0.9, (100, top, 300, top + 200))])
        picture = np.asarray(draw_detections(image(), box, [name])).astype(int)
        y, x = np.argwhere((picture == 128).all(axis=2)).min(axis=0)
        panel = picture[y : y + 600, x : x + 900]
        ground = (panel == ImageColor.getrgb(class_colour(0))).all(axis=2)
        return (~ground & (panel != 128).any(axis=2)).sum()

    assert words(0) == words(300) > 50


@pytest.mark.parametrize("class_num", [3, 20, 80])
def test_colours_differ(class_num):
    colours = np.array([ImageColor.getrgb(class_colour(k)) for k in range(class_num)], float)
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 999 * np.eye(class_num)
    assert apart.min() >= {3: 200, 20: 80, 80: 8}[class_num]
    assert class_colour(7) == class_colour(7)


def test_names_in_any_script(caplog):
    pytest.importorskip("matplotlib")
    drawing._warn.cache_clear()
    names = ["\u03b1\u0436\u00f1", "a\nb", "w" * 300, ""]
    found = detections([(0, k, 0.9, (50 * k, 50, 50 * k + 300, 300)) for k in range(4)])
    picture = draw_detections(image(), found, names)
    assert all(len(places(picture, k)) > 300 for k in range(4)) and not caplog.text


def test_nothing_found():
    picture = draw_detections(image(), detections([]), LABELS)
    assert (np.asarray(picture) == 128).all(axis=2).sum() == 900 * 600
