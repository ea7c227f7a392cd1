"""Dropout and random crops: statistics, and what a sample's key decides."""

import numpy as np
import pytest

from denet.graph.op.base import Run
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.op.dropout import Dropout


def keys(*values):
    return np.array(values, np.uint64)


def apply(op, x, sample_keys, training=True):
    return op.forward(Run(training, sample_keys), x)[0][0]


RANDOM = [Dropout(0.5, 3), CropMirror(5, 4, 0.5, 0.5, 3)]


@pytest.mark.parametrize("op", RANDOM, ids=str)
def test_key_and_salt_decide_and_nothing_else(op):
    x = np.arange(8.0 * 8).reshape(1, 8, 8, 1).repeat(6, axis=0)
    batch = apply(op, x, keys(11, 12, 13, 14, 15, 16))
    assert (apply(op, x[:2], keys(14, 11)) == batch[[3, 0]]).all()
    other = type(op)(**{**vars(op), "salt": 4})
    assert (apply(other, x, keys(11, 12, 13, 14, 15, 16)) != batch).any()
    assert len(np.unique(batch, axis=0)) > 1


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate):
    x = np.ones((4, 50, 50, 10), np.float32)
    y = apply(Dropout(rate, 0), x, keys(1, 2, 3, 4))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    # five standard deviations of a mean of 1e5 draws
    assert abs(kept.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / x.size)


def test_dropout_drops_the_gradient_of_what_it_dropped():
    op, x = Dropout(0.5, 0), np.ones((2, 3, 3, 4))
    run = Run(True, keys(5, 6))
    outputs, saved = op.forward(run, x)
    (gx,) = op.backward(run, (None,), (None,), saved, (np.full(x.shape, 3.0),))
    assert (gx == 3 * outputs[0]).all()


@pytest.mark.parametrize("op", RANDOM, ids=str)
def test_nothing_is_random_in_prediction(op):
    x = np.arange(2.0 * 7 * 9).reshape(2, 7, 9, 1)
    expected = x if isinstance(op, Dropout) else x[:, 1:6, 2:6]  # floor(5 / 2) = 2 columns cut
    assert (apply(op, x, keys(1, 2), training=False) == expected).all()


@pytest.mark.parametrize(
    ("mirror", "flip", "expected"),
    [
        (0, 0, [[1, 2], [3, 4]]),
        (1, 0, [[2, 1], [4, 3]]),
        (0, 1, [[3, 4], [1, 2]]),
        (1, 1, [[4, 3], [2, 1]]),
    ],
)
def test_mirror_swaps_left_and_right_and_flip_swaps_up_and_down(mirror, flip, expected):
    x = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    y = apply(CropMirror(2, 2, mirror, flip, 0), x, keys(1))
    assert y[0, :, :, 0].tolist() == expected


def test_crops_reach_every_offset_and_turn_equally_often():
    """2 x 3 offsets, mirrored or not: 12 outcomes, each about 1/12 of 2400 draws."""
    count = 2400
    x = np.arange(4.0 * 5).reshape(1, 4, 5, 1).repeat(count, axis=0)
    y = apply(CropMirror(3, 3, 0.5, 0.0, 0), x, np.arange(count, dtype=np.uint64))
    image = np.arange(4.0 * 5).reshape(4, 5)
    outcomes = [
        image[top : top + 3, left : left + 3][:, ::turn]
        for top in range(2)
        for left in range(3)
        for turn in (1, -1)
    ]
    found = [(y[..., 0] == outcome).all(axis=(1, 2)).sum() for outcome in outcomes]
    assert sum(found) == count
    # five standard deviations of a binomial with p = 1/12
    assert np.abs(np.array(found) - 200).max() <= 5 * np.sqrt(count * 11 / 144)


def test_the_gradient_of_a_crop_lies_where_it_was_cut():
    op, x = CropMirror(3, 2, 0.5, 0.5, 0), np.arange(4.0 * 6 * 5).reshape(4, 6, 5, 1) + 1
    run = Run(True, keys(1, 2, 3, 4))
    outputs, saved = op.forward(run, x)
    (gx,) = op.backward(run, (None,), (None,), saved, (outputs[0],))
    assert ((gx == x) | (gx == 0)).all()
    assert ((gx != 0).sum(axis=(1, 2, 3)) == 6).all()
