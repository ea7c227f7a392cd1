"""Prior boxes: how many, where, and that hardly a box is far from all of them."""

import numpy as np
import pytest

from denet.detect.box import iou
from denet.detect.prior import JITTER, jittered, prior_boxes


def test_the_first_level_is_worked_by_hand():
    """Side 0.9: a square, and boxes of width 0.9 sqrt(1/2) = 0.636 and as much height."""
    short = 0.9 * 0.5**0.5
    starts = [0, (1 - short) / 2, 1 - short]  # room 0.364 in steps of at most half of 0.636
    upright = [(x, 0, x + short, 1) for x in starts]
    squares = [(x, y, x + 0.9, y + 0.9) for y in (0, 0.1) for x in (0, 0.1)]
    lying = [(y0, x0, y1, x1) for x0, y0, x1, y1 in upright]
    np.testing.assert_allclose(prior_boxes(1), upright + squares + lying, atol=1e-6)


@pytest.mark.parametrize(("levels", "count"), [(0, 0), (1, 10), (2, 35), (3, 93), (4, 242)])
def test_as_many_as_are_told(levels, count):
    box = prior_boxes(levels)
    assert box.shape == (count, 4) and box.dtype == np.float32
    assert ((box >= 0) & (box <= 1 + 1e-6)).all() and (box[:, 2:] > box[:, :2]).all()
    assert len(np.unique(box, axis=0)) == count
    larger = prior_boxes(max(levels - 1, 0))
    assert np.array_equal(box[: len(larger)], larger)


def test_boxes_of_their_sizes_and_shapes_are_near_one_of_them():
    """Random boxes in the image, sides 0.25 to 0.9, shapes 1:2 to 2:1."""
    rng = np.random.default_rng(0)
    side, shape = np.exp(rng.uniform(*np.log([0.25, 0.9]), 4000)), 2 ** rng.uniform(-1, 1, 4000)
    size = np.minimum(np.stack([side * shape**0.5, side / shape**0.5], axis=1), 1)
    low = rng.random((4000, 2)) * (1 - size)
    best = iou(np.hstack([low, low + size]), prior_boxes(4).astype(np.float64)).max(axis=1)
    assert best.mean() > 0.6 and (best > 0.5).mean() > 0.9 and best.min() > 0.3


def test_jitter_is_bounded_and_leaves_what_is_given():
    box = prior_boxes(3)
    before = box.copy()
    moved = jittered(box, np.random.default_rng(1))
    assert np.array_equal(box, before) and moved.dtype == np.float32
    assert ((moved >= 0) & (moved <= 1)).all() and (moved[:, 2:] > moved[:, :2]).all()
    side = box[:, 2:] - box[:, :2]
    # an edge moves with its centre and by half of the growth of its side
    most = side * (JITTER + (np.exp(JITTER) - 1) / 2) + 1e-6
    assert (np.abs(moved - box) <= np.tile(most, 2)).all()
    assert np.abs(moved - box).max() > 0.05
    assert not len(jittered(box[:0], np.random.default_rng(1)))
