"""Overlap and regression of boxes, by hand and against plain loops."""

import numpy as np
import pytest

from denet.detect.box import area, centre, decode, decode_centre, encode, iou

WHOLE = (0, 0, 1, 1)
LEFT = (0, 0, 0.5, 1)
OVERLAPS = [
    # box, box, shared area / area of both
    (WHOLE, WHOLE, 1),
    (WHOLE, LEFT, 1 / 2),
    (LEFT, (0.25, 0, 0.75, 1), 1 / 3),
    (LEFT, (0.25, 0.5, 0.75, 1), 1 / 5),
    (LEFT, (0.5, 0, 1, 1), 0),  # they touch
    (LEFT, (0.75, 0.25, 1, 0.5), 0),
    ((-1, 0, 1, 1), (0, 0, 2, 1), 1 / 3),  # beyond the image
    ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), 0),  # no area
    ((0.5, 0.5, 0.5, 0.5), WHOLE, 0),
    ((0, 0, 0, 1), (0, 0, 0, 1), 0),
    ((0.75, 0, 0.25, 1), WHOLE, 0),  # the wrong way round
    ((0.25, 0.75, 0.75, 0.25), (0.25, 0.75, 0.75, 0.25), 0),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("first", "second", "expected"), OVERLAPS)
def test_iou_by_hand(first, second, expected, dtype):
    one, other = np.array([first], dtype), np.array([second], dtype)
    for found in (iou(one, other), iou(other, one)):
        assert found.dtype == dtype
        assert found.tolist() == [[pytest.approx(expected, rel=1e-6)]]


def random_boxes(rng, *shape):
    corners = rng.uniform(0, 1, (*shape, 2, 2))
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)


def test_iou_of_all_pairs_and_leading_axes():
    """Against cells of a fine grid, counted one by one."""
    rng = np.random.default_rng(1)
    first, second = (np.round(random_boxes(rng, 2, count) * 40) / 40 for count in (3, 5))
    found = iou(first, second)
    assert found.shape == (2, 3, 5)
    middle = (np.arange(40) + 0.5) / 40
    for image, a, b in np.ndindex(found.shape):
        inside = []
        for x0, y0, x1, y1 in (first[image, a], second[image, b]):
            inside.append(np.outer((y0 < middle) & (middle < y1), (x0 < middle) & (middle < x1)))
        shared, both = (inside[0] & inside[1]).sum(), (inside[0] | inside[1]).sum()
        assert found[image, a, b] == pytest.approx(shared / max(both, 1), rel=1e-9)


def test_iou_of_nothing():
    assert iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)
    assert iou(np.zeros((3, 4)), np.zeros((0, 4))).shape == (3, 0)


def test_area_is_never_negative():
    boxes = np.array([WHOLE, (0, 0, 0.5, 0.25), (1, 1, 0, 0), (1, 0, 0, 1)])
    assert area(boxes).tolist() == [1, 0.125, 0, 0]


CODES = [
    # sample, target, (dx, dy, dw, dh)
    (WHOLE, WHOLE, (0, 0, 0, 0)),
    ((0, 0, 0.5, 0.25), (0.25, 0.25, 0.75, 0.5), (0.5, 1, 0, 0)),
    ((0, 0, 0.5, 0.5), (0, 0, 1, 0.25), (0.5, -0.25, np.log(2), -np.log(2))),
    ((0.5, 0.5, 0.75, 0.75), (0, 0, 1, 1), (-0.5, -0.5, np.log(4), np.log(4))),
]


@pytest.mark.parametrize(("sample", "target", "code"), CODES)
def test_regression_by_hand(sample, target, code):
    assert encode(np.array(target), np.array(sample)) == pytest.approx(code, abs=1e-12)
    assert decode(np.array(code), np.array(sample)) == pytest.approx(target, abs=1e-12)
    x0, y0, x1, y1 = target
    expected = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
    assert decode_centre(np.array(code), np.array(sample)) == pytest.approx(expected)
    assert centre(np.array(target)) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decode_undoes_encode(dtype):
    rng = np.random.default_rng(2)
    sample, target = (random_boxes(rng, 3, 50).astype(dtype) for _ in range(2))
    found = decode(encode(target, sample), sample)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, target, atol=4 * np.finfo(dtype).eps)


POINT = (0.5, 0.5, 0.5, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sample", [WHOLE, POINT, (1, 1, 0, 0)])
@pytest.mark.parametrize("target", [WHOLE, POINT, (1, 1, 0, 0)])
def test_boxes_without_area_give_numbers(sample, target, dtype):
    with np.errstate(all="raise"):
        code = encode(np.array(target, dtype), np.array(sample, dtype))
        assert np.isfinite(code).all()
        assert np.isfinite(decode(code, np.array(sample, dtype))).all()


def test_wild_regressions_give_numbers():
    """exp(1000) overflows; a box that is far too large stays so."""
    sample = np.array([WHOLE, POINT, (0, 0, 0.5, 0.5)], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        boxes = decode(np.full((3, 4), 1000, np.float32), sample)
        assert np.isfinite(boxes).all() and (boxes[[0, 2], 2:] > 1e6).all()
        assert np.isfinite(decode(np.full((3, 4), -1000, np.float32), sample)).all()
