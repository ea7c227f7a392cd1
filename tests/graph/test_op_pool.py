"""Pooling against values worked by hand and a cell-by-cell definition."""

import itertools

import numpy as np
import pytest
from graph.cases import POOLS
from tolerance import assert_close

from denet.graph.op.base import Run
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse

TRAINING = Run(training=True)

X = np.array(
    [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 0, 1, 2],
        [3, 4, 5, 5],
    ],
    np.float64,
)


def forward(op, rows):
    outputs, saved = op.forward(TRAINING, np.asarray(rows)[None, :, :, None])
    return outputs[0][0, :, :, 0], saved


def backward(op, rows, gradient):
    """Return gx for a map of one channel and the gradient of its output."""
    y, saved = forward(op, rows)
    g = np.broadcast_to(np.asarray(gradient, np.float64), y.shape)[None, :, :, None]
    return op.backward(TRAINING, (None,), (None,), saved, (g,))[0][0, :, :, 0]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (Pool("max", (2, 2), (2, 2)), [[6, 8], [9, 5]]),
        (Pool("mean", (2, 2), (2, 2)), [[3.5, 5.5], [4, 3.25]]),
        (Pool("max", (3, 3), (2, 2)), [[9]]),
        (Pool("max", (4, 4), (4, 4)), [[9]]),
        (Pool("mean", (4, 4), (4, 4)), [[65 / 16]]),
        (Pool("max", (3, 3), (2, 2), 1), [[6, 8], [9, 8]]),
        # padding counts as zeros: corners have 4, edges 6 real cells of 9
        (Pool("mean", (3, 3), (2, 2), 1), [[14 / 9, 30 / 9], [27 / 9, 38 / 9]]),
        (Pool("max", (3, 3), (3, 3), 0, True), [[9, 8], [5, 5]]),
        # a window beyond the map is a smaller window
        (Pool("mean", (3, 3), (3, 3), 0, True), [[34 / 9, 14 / 3], [12 / 3, 5]]),
        (Pool("max", (1, 4), (1, 4)), [[4], [8], [9], [5]]),
    ],
    ids=str,
)
def test_by_hand(op, expected):
    np.testing.assert_allclose(forward(op, X)[0], expected, rtol=1e-15)


@pytest.mark.parametrize("value", [-3.0, -1e30])
def test_padding_never_wins_the_maximum(value):
    assert (forward(Pool("max", (3, 3), (2, 2), 1), np.full((5, 5), value))[0] == value).all()


def test_gradient_goes_to_the_first_of_equal_maxima_row_by_row():
    rows = [[1.0, 7.0, 7.0], [7.0, 7.0, 7.0]]
    assert backward(Pool("max", (2, 3), (2, 3)), rows, 5).tolist() == [[0, 5, 0], [0, 0, 0]]


def test_gradients_of_overlapping_windows_add_up():
    rows = [[0.0, 1.0, 9.0, 1.0, 0.0]]
    gradient = [[1, 10, 100]]
    assert backward(Pool("max", (1, 3), (1, 1)), rows, gradient).tolist() == [[0, 0, 111, 0, 0]]


def test_gradient_of_the_mean_divides_by_the_cells_that_count():
    op = Pool("mean", (1, 2), (1, 2), partial=True)
    assert backward(op, [[1.0, 2.0, 3.0]], [[6, 6]]).tolist() == [[3, 3, 6]]


def test_the_saved_index_is_small_where_the_window_is():
    rows = np.arange(17.0 * 17).reshape(17, 17)
    assert forward(Pool("max", (16, 16), (1, 1)), rows)[1][0].dtype == np.uint8
    index = forward(Pool("max", (17, 17), (1, 1)), rows)[1][0]
    assert index.dtype == np.int32
    assert index.item() == 288


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.name)
def test_every_window_by_its_cells(case):
    op, (x,) = case.op, case.inputs()
    p = op.padding
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    real = np.pad(np.ones(x.shape, bool), ((0, 0), (p, p), (p, p), (0, 0)))
    y = op.forward(case.run(), x)[0][0]
    for i, j in itertools.product(range(y.shape[1]), range(y.shape[2])):
        top, left = i * op.stride[0], j * op.stride[1]
        part = np.s_[:, top : top + op.size[0], left : left + op.size[1]]
        if op.mode == "mean":
            expected = padded[part].mean(axis=(1, 2))
        else:
            expected = padded[part].max(axis=(1, 2), where=real[part], initial=-np.inf)
        assert_close(y[:, i, j], expected, "f64")


def test_pool_inverse_repeats_and_sums():
    op = PoolInverse(2)
    assert forward(op, [[1, 2]])[0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    g = np.arange(8.0).reshape(1, 2, 4, 1)
    (gx,) = op.backward(TRAINING, (None,), (None,), (), (g,))
    assert gx[0, :, :, 0].tolist() == [[0 + 1 + 4 + 5, 2 + 3 + 6 + 7]]
