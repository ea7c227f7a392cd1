"""Pooling: one number per window and channel, its maximum or its mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.errors import DescriptionError
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.window import SHAPE, Padding, Pair, cells, count_windows, pad, unpad
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Pool(Op):
    """y[n,i,j,c] = max or mean over a,b of x[n, i*s + a - p, j*s + b - p, c].

    Output floor((h + 2p - kh) / s) + 1; ``partial``: ceil((h + 2p) / s), where windows may stick
    out beyond the padded map. The mean counts cells of the padding (as 0) but none beyond it; the
    maximum counts neither. gx: the mean gives every cell g / count; the maximum gives g to its
    first cell, row by row, whose index in the window is saved.
    """

    mode: str  # max | mean
    size: Pair
    stride: Pair
    padding: int = 0
    partial: bool = False

    def __post_init__(self) -> None:
        assert self.mode in ("max", "mean"), self.mode

    def infer(self, *inputs: TensorType) -> Types:
        n, h, w, c = image(inputs[0])
        p = self.padding
        if self.partial:
            height, width = -(-(h + 2 * p) // self.stride[0]), -(-(w + 2 * p) // self.stride[1])
        else:
            whole = ((p, p), (p, p))
            height, width = count_windows("Pool", inputs[0], self.size, self.stride, whole)
        last = (height - 1) * self.stride[0] - p, (width - 1) * self.stride[1] - p
        if self.mode == "max" and (p >= min(self.size) or last[0] >= h or last[1] >= w):
            raise DescriptionError(
                f"Pool: a {self.size[0]}x{self.size[1]} window would see nothing but padding "
                f"(x {inputs[0].shape}, padding {p}): use less padding"
            )
        return (TensorType((n, height, width, c), inputs[0].dtype),)

    def saved(self, *inputs: TensorType) -> Types:
        if self.mode == "mean":
            return (SHAPE,)
        return TensorType(self.infer(*inputs)[0].shape, self._index_dtype), SHAPE

    @property
    def _index_dtype(self) -> str:
        return "uint8" if self.size[0] * self.size[1] <= 256 else "int32"

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x = inputs[0]
        padding, counts = self.geometry(x.shape)
        shape = np.array(x.shape, np.int32)
        if self.mode == "max":
            y, index = self._maximum(pad(x, padding, -np.inf))
            return (y,), (index, shape)
        first, *others = cells(pad(x, padding), self.size, self.stride)
        y = first.copy()
        for cell in others:
            y += cell
        y /= counts.astype(x.dtype)
        return (y,), (shape,)

    def _maximum(self, padded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the maximum of each window and the index of its first cell that holds it."""
        first, *others = cells(padded, self.size, self.stride)
        y, index = first.copy(), np.zeros(first.shape, self._index_dtype)
        for number, cell in enumerate(others, start=1):
            # numbers rise, so the larger one is the later one; much faster than index[...] = number
            np.maximum(index, (cell > y) * index.dtype.type(number), out=index)
            np.maximum(y, cell, out=y)
        return y, index

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        g, shape = gradients[0], tuple(saved[-1])
        padding, counts = self.geometry(shape)
        gx = pad(np.zeros(shape, g.dtype), padding)
        if self.mode == "mean":
            g = g / counts.astype(g.dtype)
        for number, cell in enumerate(cells(gx, self.size, self.stride)):
            cell += g if self.mode == "mean" else g * (saved[0] == number)
        return (unpad(gx, padding),)

    def geometry(self, shape: tuple[int, ...]) -> tuple[Padding, np.ndarray]:
        """Return the padding that holds every window, and the cells (h', w', 1) that count."""
        padding, counts = [], []
        _, height, width, _ = self.infer(TensorType(shape))[0].shape
        for axis, windows in enumerate((height, width)):
            length, size, stride = shape[1 + axis], self.size[axis], self.stride[axis]
            starts = np.arange(windows) * stride  # in the padded map
            limit = length + 2 * self.padding
            beyond = max(0, int(starts[-1]) + size - limit)
            padding.append((self.padding, self.padding + beyond))
            counts.append(np.minimum(starts + size, limit) - starts)
        return (padding[0], padding[1]), np.multiply.outer(*counts)[:, :, None]
