"""Sparse sampling against a double loop in exact fractions, forward and backward."""

import math
from fractions import Fraction

import numpy as np
import pytest
from backend.kernel_run import KernelRun
from graph.cases import Case

from denet.bfloat16 import from_float32, to_float32
from denet.graph.op.base import Run
from denet.graph.op.sparse_sample import SparseSample
from denet.graph.tensor_type import TensorType

RUN = Run(True)


def nearest(low, high, step, grid, length):
    """Return the cell that one point of the grid reads, halves rounded away from 0."""
    low, high = Fraction(float(low)), Fraction(float(high))
    share = Fraction(step, grid - 1) if grid > 1 else Fraction(1, 2)
    place = min(max((low + share * (high - low)) * length, Fraction(0)), Fraction(length - 1))
    return math.floor(place + Fraction(1, 2))


def cells_one_by_one(sample, grid, height, width):
    """Yield (image, sample, point, row, column)."""
    for n, boxes in enumerate(sample):
        for k, (x0, y0, x1, y1) in enumerate(boxes):
            for gy in range(grid):
                for gx in range(grid):
                    row, column = (
                        nearest(y0, y1, gy, grid, height),
                        nearest(x0, x1, gx, grid, width),
                    )
                    yield n, k, gy * grid + gx, row, column


def on_grid(rng, n, count, parts=16):
    """Return boxes whose sides lie on sixteenths: many points fall between two cells."""
    ends = np.sort(rng.integers(0, parts, (n, count, 2, 2), endpoint=True), axis=2)
    return (ends.reshape(n, count, 4) / parts).astype(np.float32)


def anywhere(rng, n, count):
    """Return boxes that also reach beyond the image, or have their ends the wrong way round."""
    return rng.uniform(-0.5, 1.5, (n, count, 4)).astype(np.float32)


SHAPES = [
    # grid, map (n, h, w, f), samples along a side, boxes
    (7, (2, 16, 16, 3), 3, on_grid),
    (3, (2, 8, 32, 2), 4, on_grid),
    (2, (1, 16, 8, 5), 2, on_grid),
    (1, (3, 16, 32, 4), 3, on_grid),
    (4, (2, 7, 11, 3), 3, anywhere),
    (5, (1, 5, 13, 1), 4, anywhere),
    (1, (2, 9, 5, 2), 2, anywhere),
    (3, (2, 1, 1, 3), 2, anywhere),
]


@pytest.mark.parametrize(("grid", "shape", "side", "boxes"), SHAPES)
def test_features_and_gradients_equal_a_double_loop(grid, shape, side, boxes):
    n, height, width, features = shape
    rng = np.random.default_rng(grid)
    x, sample = rng.standard_normal(shape), boxes(rng, n, side * side)
    op = SparseSample(grid)
    (y,), saved = op.forward(RUN, x, sample)
    assert y.shape == (n, side, side, grid * grid * features + 2)
    g = rng.standard_normal(y.shape)
    gx, none = op.backward(RUN, (None, sample), (None,), saved, (g,))
    assert none is None

    expected, expected_gx = np.zeros(y.shape), np.zeros(shape)
    for image, k, point, row, column in cells_one_by_one(sample, grid, height, width):
        place = (image, k // side, k % side, slice(point * features, (point + 1) * features))
        expected[place] = x[image, row, column]
        expected_gx[image, row, column] += g[place]
    by_place = sample.reshape(n, side, side, 4)
    expected[..., -2] = by_place[..., 3] - by_place[..., 1]  # height, then width
    expected[..., -1] = by_place[..., 2] - by_place[..., 0]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(gx, expected_gx, rtol=0, atol=1e-12)


def columns(op, box, width, height=1):
    """Return the numbers of the cells that a box reads on a map that holds them."""
    x = np.arange(height * width, dtype=np.float32).reshape(1, height, width, 1)
    (y,), _ = op.forward(RUN, x, np.array([[box]], np.float32))
    return y[0, 0, 0, :-2].astype(int).tolist()


HAND = [
    # grid, box along x on 8 cells, columns: place * 8, at most 7, halves up
    (3, (0, 1), [0, 4, 7]),
    (2, (0, 1), [0, 7]),
    (1, (0, 1), [4]),
    (1, (0.25, 0.5), [3]),
    (1, (0, 1 / 8), [1]),  # 0.5 goes up
    (5, (0.25, 0.5), [2, 3, 3, 4, 4]),  # 2, 2.5, 3, 3.5, 4
    (3, (-1, 0), [0, 0, 0]),
    (3, (0.5, 3), [4, 7, 7]),
    (3, (0.75, 0.25), [6, 4, 2]),
    (2, (0.3125, 0.4375), [3, 4]),  # 2.5, 3.5
]


@pytest.mark.parametrize(("grid", "ends", "expected"), HAND)
def test_columns_worked_by_hand(grid, ends, expected):
    op = SparseSample(grid)
    found = columns(op, (ends[0], 0, ends[1], 1), 8)
    assert found == expected * grid  # one row of the map serves every row of the grid
    turned = columns(op, (0, ends[0], 1, ends[1]), 1, 8)
    assert turned == [row for row in expected for _ in range(grid)]


def test_points_come_row_by_row_and_samples_along_the_rows_of_the_output():
    x = np.arange(4 * 4, dtype=np.float32).reshape(1, 4, 4, 1)
    corner = (0, 0, 0.5, 0.5)
    boxes = [corner, (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0, 0, 1, 0.25)]
    (y,), _ = SparseSample(2).forward(RUN, x, np.array([boxes], np.float32))
    assert y[0, 0, 0].tolist() == [0, 2, 8, 10, 0.5, 0.5]
    assert y[0, 0, 1].tolist() == [2, 3, 10, 11, 0.5, 0.5]
    assert y[0, 1, 0].tolist() == [8, 10, 12, 14, 0.5, 0.5]
    assert y[0, 1, 1].tolist() == [0, 3, 4, 7, 0.25, 1]  # height, then width


def test_equal_samples_add_up():
    """Where no corner is found every sample is the whole image: 64 gradients meet at its cells."""
    sample = np.tile(np.float32([0, 0, 1, 1]), (1, 64, 1))
    op = SparseSample(2)
    (y,), saved = op.forward(RUN, np.zeros((1, 5, 5, 3)), sample)
    gx, _ = op.backward(RUN, (None, sample), (None,), saved, (np.ones(y.shape),))
    expected = np.zeros((1, 5, 5, 3))
    expected[0, ::4, ::4] = 64
    assert (gx == expected).all()


def test_bf16_plans_copy_bits_and_add_in_float32():
    """300 equal gradients of 1 + 2^-7: a sum in bf16 would stop at 256."""
    onednn = pytest.importorskip("denet.backend.onednn.backend")
    library = pytest.importorskip("denet.backend.onednn.library")
    try:
        backend = onednn.OneDnnBackend()
    except library.OneDnnUnavailable as reason:
        pytest.skip(str(reason))

    class Ones(Case):
        def output_gradients(self, seed=0, dtype=np.float64):
            return [np.full(self.op.infer(*self.types)[0].shape, 1 + 2**-7, dtype)]

    types = TensorType((1, 1, 1, 4)), TensorType((1, 324, 4), "float32")
    run = KernelRun(backend, Ones("one cell", SparseSample(1), types, {1: "boxes"}), "bf16")
    (y,) = run.forward()
    x = run.case.inputs(dtype=np.float32)[0]
    assert run.kernel.name != "numpy"
    assert (y[..., :-2] == x.reshape(4)).all()
    expected = np.float32(324 * (1 + 2**-7))
    assert (run.backward()[0] == to_float32(from_float32(expected))).all()
