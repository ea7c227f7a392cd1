"""Corners: targets worked by hand, the search against all boxes of a map, recall."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from denet.detect.corner import (
    box_cells,
    box_log_odds,
    corner_target,
    find_boxes,
    find_corners,
    largest,
    probability,
)

WIDTH, HEIGHT = 8, 4
TARGETS = [
    # name, box in cells of a map of 8 x 4, cell box, centre; halves go to the even number
    ("whole map", (0, 0, 8, 4), (0, 0, 7, 3), (4, 2)),
    ("inside", (2, 1, 5, 4), (2, 1, 4, 3), (3, 2)),
    ("two by two", (2, 1, 4, 3), (2, 1, 3, 2), (2, 2)),
    ("below half", (1.4, 0.4, 5.4, 3.4), (1, 0, 4, 2), (2, 1)),
    ("above half", (1.6, 0.6, 5.6, 3.6), (2, 1, 5, 3), (4, 2)),
    ("half from even", (0.5, 0.5, 4.5, 2.5), (0, 0, 3, 1), (2, 0)),
    ("half from odd", (1.5, 1.5, 5.5, 3.5), (2, 2, 5, 3), (4, 2)),
    ("within a cell", (3.1, 2.1, 3.4, 2.4), (3, 2, 3, 2), (3, 2)),
    ("nothing", (5, 1, 5, 1), (5, 1, 5, 1), (5, 1)),
    ("over the left", (-1, 1, 3, 3), (-1, 1, 2, 2), (0, 2)),
    ("over all sides", (-2, -2, 10, 6), (-2, -2, 9, 5), (4, 2)),
    ("at the end", (7.6, 3.6, 8, 4), (8, 4, 8, 4), (8, 4)),
]


@pytest.mark.parametrize("corner_num", [4, 5])
@pytest.mark.parametrize(
    ("box", "cell", "centre"), [row[1:] for row in TARGETS], ids=[row[0] for row in TARGETS]
)
def test_targets_worked_by_hand(box, cell, centre, corner_num):
    scaled = np.array([box], np.float32) / np.array([WIDTH, HEIGHT] * 2, np.float32)
    assert box_cells(scaled, HEIGHT, WIDTH).tolist() == [list(cell)]
    x0, y0, x1, y1 = cell
    points = [(x0, y0), (x1, y0), (x0, y1), (x1, y1), centre][:corner_num]
    expected = {
        (y, x, kind)
        for kind, (x, y) in enumerate(points)
        if 0 <= x < WIDTH and 0 <= y < HEIGHT  # corners beyond the map are left out
    }
    target = corner_target(scaled, HEIGHT, WIDTH, corner_num)
    assert target.shape == (HEIGHT, WIDTH, corner_num)
    assert set(zip(*map(np.ndarray.tolist, np.nonzero(target)), strict=True)) == expected


def test_targets_of_several_boxes_and_of_none():
    boxes = np.array([(0, 0, 0.5, 0.5), (0, 0, 0.5, 1)], np.float32)
    target = corner_target(boxes, 4, 8, 4)
    assert target.sum(axis=(0, 1)).tolist() == [1, 1, 2, 2]  # the upper corners are the same
    assert not corner_target(boxes[:0], 4, 8, 5).any()


def test_probabilities_do_not_overflow():
    odds = np.array([-1e4, -math.log(3), 0, math.log(3), 1e4], np.float32)
    np.testing.assert_allclose(probability(odds), [0, 1 / 4, 1 / 2, 3 / 4, 1], rtol=1e-6)


def test_a_corner_is_above_the_threshold():
    odds = np.full((3, 4, 4), -10, np.float32)
    odds[1, 2, 0], odds[2, 3, 1] = 0, 0.01  # 0: exactly one half
    assert [x.tolist() for x, _ in find_corners(odds, 0.5, corner_max=1024)] == [[], [3], [], []]
    assert [y.tolist() for _, y in find_corners(odds, 0.49, corner_max=1024)] == [[1], [2], [], []]
    assert all(len(x) == 12 for x, _ in find_corners(odds, 0.0, corner_max=1024))
    assert all(len(x) == 0 for x, _ in find_corners(odds, 1.0, corner_max=1024))


def test_the_most_likely_corners_are_kept_from_the_best_down():
    odds = np.arange(48, dtype=np.float32).reshape(3, 4, 4)
    for x, y in find_corners(odds, 0.0, corner_max=3):
        assert list(zip(x, y, strict=True)) == [(3, 2), (2, 2), (1, 2)]


@pytest.mark.parametrize("shift", [*itertools.product((-2, -1, 0, 1, 2), repeat=2)])
def test_the_window_of_the_local_maximum_has_its_last_row_and_column(shift):
    """DeNet of 2017 left them out: a lower corner up and left of a higher one survived."""
    down, right = shift
    odds = np.full((9, 9, 4), -9, np.float32)
    odds[4, 4, 0] = 1
    odds[4 + down, 4 + right, 0] = 2
    (x, y), *_ = find_corners(odds, 0.5, local_max=2, corner_max=1024)
    assert list(zip(x, y, strict=True)) == [(4 + right, 4 + down)]
    (x, y), *_ = find_corners(odds, 0.5, local_max=1, corner_max=1024)
    assert len(x) == (1 if max(abs(down), abs(right)) < 2 else 2)


@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-3, 3)
    ),
    st.integers(0, 3),
)
def test_local_maxima_equal_those_of_a_double_loop(plane, reach):
    odds = np.repeat(plane[..., None], 4, axis=2).astype(np.float32)
    height, width = plane.shape
    expected = {
        (x, y)
        for y in range(height)
        for x in range(width)
        if plane[y, x] > 0
        and plane[y, x]
        >= max(
            plane[v, u]
            for v in range(max(y - reach, 0), min(y + reach + 1, height))
            for u in range(max(x - reach, 0), min(x + reach + 1, width))
        )
    }
    for x, y in find_corners(odds, 0.5, local_max=reach, corner_max=1024):
        assert set(zip(x.tolist(), y.tolist(), strict=True)) == expected


@given(st.lists(st.integers(-5, 5), max_size=200), st.integers(1, 12), st.integers(0, 30))
def test_largest_sorts_like_python(numbers, count, missing):
    values = np.array([*numbers, *[-np.inf] * missing], np.float32)
    expected = sorted(range(len(numbers)), key=lambda index: -numbers[index])  # is stable
    assert largest(values, count).tolist() == expected[:count]


def all_boxes(odds, threshold, local_max):
    """Return {cell box: log odds} of all boxes that span two corners found, one by one."""
    height, width, corner_num = odds.shape
    found = [
        set(zip(x.tolist(), y.tolist(), strict=True))
        for x, y in find_corners(odds, threshold, local_max, corner_max=1024)
    ]
    boxes = {}
    for x0, x1 in itertools.combinations(range(width), 2):
        for y0, y1 in itertools.combinations(range(height), 2):
            places = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)]
            seen = [place in corners for place, corners in zip(places, found, strict=False)]
            spans = (seen[0] and seen[3]) or (seen[1] and seen[2])
            if corner_num == 5:
                places.append((round((x0 + x1) / 2), round((y0 + y1) / 2)))
                central = (x0 + x1) % 2 == 0 and (y0 + y1) % 2 == 0 and places[4] in found[4]
                spans = spans or (central and any(seen))
            if spans:
                boxes[x0, y0, x1, y1] = sum(odds[y, x, k] for k, (x, y) in enumerate(places))
    return boxes


@pytest.mark.parametrize("count", [1, 7, 100, 5000])
@pytest.mark.parametrize("local_max", [0, 1])
@pytest.mark.parametrize("shape", [(6, 7, 4), (6, 7, 5), (9, 8, 5), (1, 9, 4), (2, 2, 5)])
@pytest.mark.parametrize("threshold", [0.01, 0.6, 0.9])
def test_search_finds_the_best_of_all_boxes(shape, threshold, local_max, count):
    odds = 2 * np.random.default_rng(count).standard_normal(shape)
    expected = all_boxes(odds, threshold, local_max)
    cell, total = find_boxes(odds, count, threshold, local_max, corner_max=1024)
    best = sorted(expected, key=lambda box: -expected[box])[:count]
    assert list(map(tuple, cell.tolist())) == best
    np.testing.assert_allclose(total, [expected[box] for box in best], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(box_log_odds(odds, cell), total)


def test_a_corner_and_the_centre_find_a_box_whose_opposite_corner_is_missed():
    for kind, (y, x) in enumerate([(1, 2), (1, 6), (5, 2), (5, 6)]):
        odds = np.full((8, 9, 5), -5.0)
        odds[3, 4, 4] = odds[y, x, kind] = 1
        cell, total = find_boxes(odds, 10, 0.5, corner_max=1024)
        assert cell.tolist() == [[2, 1, 6, 5]]
        assert total == pytest.approx([-13])
        assert len(find_boxes(odds[..., :4], 10, 0.5, corner_max=1024)[0]) == 0
        odds[3, 4, 4], odds[0, 4, 4] = -5, 1  # now the opposite corner lies beyond the map
        assert len(find_boxes(odds, 10, 0.5, corner_max=1024)[0]) == 0


@pytest.mark.parametrize("corner_num", [4, 5])
def test_nothing_found(corner_num):
    cell, total = find_boxes(np.full((5, 6, corner_num), -10, np.float32), 9, 0.01, corner_max=1024)
    assert cell.shape == (0, 4) and total.shape == (0,)


@st.composite
def crowds(draw):
    """Draw a map's sides and up to 60 cell boxes of two cells or more along each axis."""
    width, height = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    cells = [
        sorted(draw(st.lists(st.integers(0, side - 1), min_size=2, max_size=2, unique=True)))
        for _ in range(draw(st.integers(1, 60)))
        for side in (width, height)
    ]
    x, y = np.array(cells[::2]), np.array(cells[1::2])
    return height, width, np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


@given(crowds(), st.sampled_from([4, 5]), st.integers(0, 2))
def test_a_perfect_corner_map_gives_every_true_box(crowd, corner_num, local_max):
    """Recall is 1 for crowds of 60 boxes. What limits it: a box less than two cells wide or high,
    one beyond the map, and fewer samples than there are boxes whose corners all exist. True boxes
    make more such boxes between their corners, 60 x 60 at most, that no map of corners can tell
    from true ones; 64 x 64 samples hold them all."""
    height, width, cell = crowd
    edges = (cell + [0, 0, 1, 1]) / np.array([width, height] * 2)
    target = corner_target(edges.astype(np.float32), height, width, corner_num)
    odds = np.where(target, 20, -20).astype(np.float32)
    found, total = find_boxes(odds, 64 * 64, 0.01, local_max, corner_max=1024)
    sure = found[total == 20 * corner_num]
    assert set(map(tuple, cell.tolist())) <= set(map(tuple, sure.tolist()))
    assert len(np.unique(found, axis=0)) == len(found)
