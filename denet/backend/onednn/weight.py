"""Convolution weights in the order that kernels want, and their way into other orders."""

from __future__ import annotations

import numpy as np

from denet.backend.numpy.memory import aligned_zeros
from denet.backend.onednn.memory import ABCD, ABCDE, BF16, F32, Memory, MemoryDesc, Scratch
from denet.backend.onednn.primitive import DST, SRC, reorder
from denet.graph.kernel import Call, Layout


class WeightLayout(Layout):
    """Weights (o, c, kh, kw) in the order of a oneDNN descriptor; ``view`` is the flat array.

    For several groups the descriptor is one of (groups, o / groups, c, kh, kw).
    """

    def __init__(self, shape: tuple[int, ...], desc: MemoryDesc, dtype: int, groups: int = 1):
        self.shape = shape
        self.desc = desc
        self.element_type = np.uint16 if dtype == BF16 else np.float32
        self.size = desc.nbytes // np.dtype(self.element_type).itemsize
        self._plain = plain_weights(shape, groups)

    def view(self, stored: np.ndarray) -> np.ndarray:
        return stored

    def pack(self, plain: np.ndarray, stored: np.ndarray) -> None:
        _copy(self._plain, np.ascontiguousarray(plain, np.float32), self.desc, stored)

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        plain = np.empty(self.shape, np.float32)
        _copy(self.desc, stored, self._plain, plain)
        return plain


def grouped(shape: tuple[int, ...], groups: int) -> tuple[int, ...]:
    """Return the shape of weights (o, c, kh, kw) as oneDNN counts it where there are groups."""
    return (groups, shape[0] // groups, *shape[1:]) if groups > 1 else shape


def plain_weights(shape: tuple[int, ...], groups: int) -> MemoryDesc:
    """Return the descriptor of float32 weights as they lie at the border."""
    return MemoryDesc.of(grouped(shape, groups), F32, ABCDE if groups > 1 else ABCD)


def _copy(
    source: MemoryDesc, source_array: np.ndarray, target: MemoryDesc, target_array: np.ndarray
) -> None:
    primitive = reorder(source, target)
    scratch = aligned_zeros(primitive.scratch)
    memories = {SRC: Memory(source, source_array), DST: Memory(target, target_array)}
    primitive.bind(memories, scratch)()


class Stage:
    """An array whose order or element type differs from what a primitive wants.

    The primitive works on a copy in scratch memory, filled before it runs or, for an array that
    is ``written``, stored afterwards. Where nothing differs there is no copy.
    """

    def __init__(
        self, outer: MemoryDesc, inner: MemoryDesc, scratch: Scratch, written: bool = False
    ):
        self._outer, self._inner = outer, inner
        self._reorder = None
        if outer != inner:
            self._reorder = reorder(inner, outer) if written else reorder(outer, inner)
            self._part = scratch.reserve(inner.nbytes)
            self._work = scratch.reserve(self._reorder.scratch)
        self._written = written

    def bind(self, array: np.ndarray, scratch: np.ndarray | None) -> tuple[Memory, list[Call]]:
        """Return the memory for the primitive, and the copies to make before it or after it."""
        outer = Memory(self._outer, array)
        if self._reorder is None:
            return outer, []
        assert scratch is not None
        inner = Memory(self._inner, scratch[self._part])
        source, target = (inner, outer) if self._written else (outer, inner)
        return inner, [self._reorder.bind({SRC: source, DST: target}, scratch, self._work)]


def in_order(calls: list[Call]) -> Call:
    """Return one call that makes these calls."""
    if len(calls) == 1:
        return calls[0]
    sequence = tuple(calls)

    def call() -> None:
        for one in sequence:
            one()

    return call
