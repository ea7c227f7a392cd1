"""The gradient of weights as one matrix product, for maps so small that convolutions starve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from denet.backend.onednn.memory import AB, ACDB, BA, BF16, F32, Memory, MemoryDesc, Scratch
from denet.backend.onednn.primitive import (
    DIFF_DST,
    DIFF_WEIGHTS,
    DIFF_WEIGHTS_MD,
    DST,
    SRC,
    WEIGHTS,
    Primitive,
)
from denet.backend.onednn.weight import in_order
from denet.graph.kernel import Call


class PatchProduct:
    """gweight (o, kh kw c) = gy (m, o) transposed times the windows (m, kh kw c), m = n h' w'.

    Serves in the place of a backward-weights primitive. x and gy are bf16, gweight is float32
    and ordered o, kh, kw, c.
    """

    def __init__(
        self,
        x: tuple[int, ...],
        y: tuple[int, ...],
        weight: tuple[int, ...],
        stride: tuple[int, int],
        start: tuple[int, int],
    ):
        n, h, w, o = y
        _, c, kh, kw = weight
        rows, columns = n * h * w, kh * kw * c
        self._x_shape, self._windows_shape = x, (n, h, w, kh, kw, c)
        self._stride, self._start = stride, start
        self._gy = MemoryDesc.of((o, rows), BF16, BA)
        self._windows = MemoryDesc.of((rows, columns), BF16, AB)
        self._gweight = MemoryDesc.of((o, columns), F32, AB)
        self._product = Primitive("matmul", self._gy, self._windows, None, self._gweight)
        self._order = MemoryDesc.of(weight, F32, ACDB)
        scratch = Scratch()
        self._part = scratch.reserve(self._windows.nbytes)
        self._work = scratch.reserve(self._product.scratch)
        self.scratch = scratch.nbytes

    @property
    def implementation(self) -> str:
        """The name of the matrix product."""
        return f"patches {self._product.implementation}"

    def md(self, query: int) -> MemoryDesc:
        """Return the descriptor of gweight, the only argument with an order to choose."""
        assert query == DIFF_WEIGHTS_MD
        return self._order

    def bind(self, memories: Mapping[int, Memory], scratch: np.ndarray | None, work: slice) -> Call:
        """Return a call that gathers the windows of x and multiplies; as ``Primitive.bind``."""
        assert scratch is not None
        windows = scratch[work][self._part].view(np.uint16)
        x = memories[SRC].array
        copies = list(self._copies(x, windows.reshape(self._windows_shape)))
        operands = {
            SRC: Memory(self._gy, memories[DIFF_DST].array),
            WEIGHTS: Memory(self._windows, windows),
            DST: Memory(self._gweight, memories[DIFF_WEIGHTS].array),
        }
        multiply = self._product.bind(operands, scratch[work], self._work)

        def gather() -> None:
            for target, source in copies:
                np.copyto(target, source)

        return in_order([gather, multiply])

    def _copies(
        self, x: np.ndarray, windows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray | int]]:
        """Yield (target, source) pairs that fill the windows cell by cell: parts of x, zeros."""
        _, h, w, kh, kw, _ = windows.shape
        for a in range(kh):
            i0, i1, rows = self._seen(0, a, h)
            for b in range(kw):
                j0, j1, columns = self._seen(1, b, w)
                cell = windows[:, :, :, a, b]
                yield cell[:, i0:i1, j0:j1], x[:, rows, columns]
                border = [cell[:, :i0], cell[:, i1:], cell[:, i0:i1, :j0], cell[:, i0:i1, j1:]]
                yield from ((part, 0) for part in border if part.size)

    def _seen(self, axis: int, cell: int, count: int) -> tuple[int, int, slice]:
        """Return the first and last + 1 window whose ``cell`` lies on x, and where on x it lies."""
        stride, offset = self._stride[axis], cell - self._start[axis]
        first = min(count, max(0, -(offset // stride)))
        last = max(first, min(count, -(-(self._x_shape[1 + axis] - offset) // stride)))
        begin = first * stride + offset
        return first, last, slice(begin, begin + (last - first) * stride, stride)
