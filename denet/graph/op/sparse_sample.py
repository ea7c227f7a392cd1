"""Directed sparse sampling: the features of each sampled box, read from a grid of points."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.window import SHAPE
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class SparseSample(Op):
    """y[n, k // S, k % S] = the features of x (n, h, w, f) at a G x G grid of points of sample k.

    Inputs: x, sample (n, N, 4) float32 with N = S^2. Output: (n, S, S, G G f + 2), the points row
    by row, then the height and the width of the sample. The points divide each side of the box
    evenly from end to end (G = 1: its centre) and read the nearest cell of the map, halves rounded
    up, cells beyond the map replaced by those at its border. gx adds g to the cells that were
    read; samples have no gradient.
    """

    grid_size: int

    backward_inputs = (1,)

    def infer(self, *inputs: TensorType) -> Types:
        x, sample = inputs
        n, _, _, features = image(x)
        side = isqrt(sample.shape[1])
        assert sample == TensorType((n, side * side, 4), "float32"), inputs
        return (TensorType((n, side, side, self.grid_size**2 * features + 2), x.dtype),)

    def saved(self, *inputs: TensorType) -> Types:
        return (SHAPE,)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x, sample = inputs
        n, count, _ = sample.shape
        y = np.empty((n, count, self.grid_size**2 * x.shape[3] + 2), x.dtype)
        gather(x, self.cells(sample, *x.shape[1:3]), y)
        y[..., -2:] = sides(sample)
        return (y.reshape(n, isqrt(count), -1, y.shape[2]),), (np.array(x.shape, np.int32),)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        sample = inputs[1]
        _, height, width, _ = shape = tuple(saved[0])
        g = gradients[0].reshape(*sample.shape[:2], -1)[..., :-2]
        cells = self.cells(sample, height, width)
        gx = [scatter(each, where, shape[1:]) for each, where in zip(g, cells, strict=True)]
        return np.stack(gx), None

    def cells(self, sample: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return (n, N, G * G): the number y * width + x of the cell that each point reads.

        Always in float32 and in this order, so that every backend rounds alike.
        """
        steps, last = np.arange(self.grid_size, dtype=np.float32), np.float32(self.grid_size - 1)
        if self.grid_size == 1:
            steps, last = np.ones(1, np.float32), np.float32(2)  # half way
        sample = sample.astype(np.float32)[..., None]

        def nearest(low: np.ndarray, high: np.ndarray, length: int) -> np.ndarray:
            points = (low + steps * (high - low) / last) * np.float32(length)
            return np.floor(np.clip(points, 0, length - 1) + np.float32(0.5)).astype(np.intp)

        x = nearest(sample[:, :, 0], sample[:, :, 2], width)
        y = nearest(sample[:, :, 1], sample[:, :, 3], height)
        return (y[..., :, None] * width + x[..., None, :]).reshape(*sample.shape[:2], -1)


def sides(sample: np.ndarray) -> np.ndarray:
    """Return the heights and widths (n, N, 2) of boxes (n, N, 4)."""
    return sample[..., [3, 2]] - sample[..., [1, 0]]


def gather(x: np.ndarray, cells: np.ndarray, y: np.ndarray) -> None:
    """Write the rows ``cells`` (n, N, p) of each map of x (n, h, w, f) to y[:, :, : p f].

    Elements are only copied: any type will do, also bits.
    """
    n, count, _ = y.shape
    rows = x.reshape(n, -1, x.shape[3])
    for each, where, place in zip(rows, cells, y, strict=True):
        read = each.take(where, axis=0).reshape(count, -1)
        place[:, : read.shape[1]] = read


def scatter(g: np.ndarray, cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a map (h, w, f) of this shape: at each cell the sum of g (N, p f) over the points of
    ``cells`` (N, p) that read it.

    It is a product with a sparse matrix, whose column of each point has a one in its cell.
    """
    from scipy.sparse import csc_matrix

    (height, width, features), points = shape, cells.size
    ones = (np.ones(points, g.dtype), cells.ravel(), np.arange(points + 1))
    reads = csc_matrix(ones, shape=(height * width, points))
    sums: np.ndarray = reads @ g.reshape(points, features)
    return sums.reshape(shape)
