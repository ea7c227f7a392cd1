"""The gradient of weights as one matrix product of gathered windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from denet.backend.onednn.memory import AB, ACDB, BA, BF16, F32, Memory, MemoryDesc, Scratch
from denet.backend.onednn.primitive import (
    DIFF_BIAS,
    DIFF_DST,
    DIFF_WEIGHTS,
    DIFF_WEIGHTS_MD,
    DST,
    SRC,
    WEIGHTS,
    Primitive,
)
from denet.backend.onednn.request import Request
from denet.backend.onednn.weight import in_order
from denet.graph.kernel import Call
from denet.graph.op.deconv import Deconv

ELEMENT_TYPE = {F32: np.float32, BF16: np.uint16}
ONE = {F32: 1.0, BF16: 0x3F80}


class PatchProduct:
    """gweight (o, kh kw c) = gy (m, o) transposed times the windows of x (m, kh kw c), m = n h' w'.

    A transposed convolution has the larger map in y. Its window must be 1x1 here: gweight (o, c)
    is the cells of gy that x meets (m, o), transposed, times x (m, c). gbias is a row of ones
    times gy. Serves in the place of a backward-weights primitive; both gradients are float32,
    gweight is ordered o, kh, kw, c.
    """

    def __init__(self, request: Request):
        op: Any = request.node.op
        x, weight = (tensor.shape for tensor in request.node.inputs[:2])
        y = request.node.outputs[0].shape
        o, c, kh, kw = weight
        self._transposed = isinstance(op, Deconv)
        assert not self._transposed or (kh, kw) == (1, 1)
        large, (n, h, w, _) = (y, x) if self._transposed else (x, y)
        self._map, self._windows = large[1:3], (n, h, w, kh, kw, large[3])
        self._stride, self._start = op.stride, (op.padding[0][0], op.padding[1][0])
        self._element_type = np.dtype(ELEMENT_TYPE[request.real])
        scratch = Scratch()
        size = math.prod(self._windows) * self._element_type.itemsize
        self._gathered = scratch.reserve(size)
        gy = MemoryDesc.of((o, n * h * w), request.real, BA)
        windows = MemoryDesc.of((n * h * w, kh * kw * c), request.real, AB)
        self._by_weight = Product(gy, windows, (o, kh * kw * c), scratch)
        self._by_bias = None
        if op.bias:
            cells = math.prod(y[:3])
            self._ones = np.full(cells, ONE[request.real], self._element_type)
            ones = MemoryDesc.of((1, cells), request.real, AB)
            rows = MemoryDesc.of((cells, o), request.real, AB)
            self._by_bias = Product(ones, rows, (1, o), scratch)
        self._order = MemoryDesc.of(weight, F32, ACDB)
        self.scratch = scratch.nbytes

    @property
    def implementation(self) -> str:
        """The name of the matrix product."""
        return f"patches {self._by_weight.implementation}"

    def md(self, query: int) -> MemoryDesc:
        """Return the descriptor of gweight, the only argument with an order to choose."""
        assert query == DIFF_WEIGHTS_MD
        return self._order

    def bind(self, memories: Mapping[int, Memory], scratch: np.ndarray | None, work: slice) -> Call:
        """Return a call that gathers the windows and multiplies; as ``Primitive.bind``."""
        assert scratch is not None
        own = scratch[work]
        x, gy, gweight = (memories[index].array for index in (SRC, DIFF_DST, DIFF_WEIGHTS))
        windows = own[self._gathered].view(self._element_type).reshape(self._windows)
        copies = list(self._copies(gy if self._transposed else x, windows))
        left, right = (windows, x) if self._transposed else (gy, windows)
        multiply = [self._by_weight.bind(left, right, gweight, own)]
        if self._by_bias:
            multiply.append(self._by_bias.bind(self._ones, gy, memories[DIFF_BIAS].array, own))

        def gather() -> None:
            for target, source in copies:
                np.copyto(target, source)

        return in_order([gather, *multiply])

    def _copies(
        self, source: np.ndarray, windows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray | int]]:
        """Yield pairs (target, source) that fill the windows cell by cell: parts of it, zeros."""
        _, h, w, kh, kw, _ = windows.shape
        for a in range(kh):
            i0, i1, rows = self._seen(0, a, h)
            for b in range(kw):
                j0, j1, columns = self._seen(1, b, w)
                cell = windows[:, :, :, a, b]
                yield cell[:, i0:i1, j0:j1], source[:, rows, columns]
                border = [cell[:, :i0], cell[:, i1:], cell[:, i0:i1, :j0], cell[:, i0:i1, j1:]]
                yield from ((part, 0) for part in border if part.size)

    def _seen(self, axis: int, cell: int, count: int) -> tuple[int, int, slice]:
        """Return the first and last + 1 window whose ``cell`` lies on the map, and where there."""
        stride, offset = self._stride[axis], cell - self._start[axis]
        first = min(count, max(0, -(offset // stride)))
        last = max(first, min(count, -(-(self._map[axis] - offset) // stride)))
        begin = first * stride + offset
        return first, last, slice(begin, begin + (last - first) * stride, stride)


class Product:
    """A product of two matrices as float32, with its part of a scratch memory."""

    def __init__(
        self, left: MemoryDesc, right: MemoryDesc, shape: tuple[int, int], scratch: Scratch
    ):
        self._left, self._right, self._result = left, right, MemoryDesc.of(shape, F32, AB)
        self._multiply = Primitive("matmul", left, right, None, self._result)
        self._work = scratch.reserve(self._multiply.scratch)
        self.implementation = self._multiply.implementation

    def bind(
        self, left: np.ndarray, right: np.ndarray, result: np.ndarray, scratch: np.ndarray
    ) -> Call:
        """Return a call that multiplies these arrays."""
        memories = {SRC: Memory(self._left, left), WEIGHTS: Memory(self._right, right)}
        memories[DST] = Memory(self._result, result)
        return self._multiply.bind(memories, scratch, self._work)
