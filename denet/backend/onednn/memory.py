"""Memory descriptors, and memory objects over NumPy arrays."""

from __future__ import annotations

import ctypes
from ctypes import c_void_p
from weakref import finalize

import numpy as np

from denet.backend.onednn.library import load
from denet.graph.memory import ALIGNMENT

BF16, F32 = 2, 3  # dnnl_data_type_t
ANY, A, AB, ABCD, ABCDE, BA, ACDB = 1, 2, 3, 5, 6, 14, 22  # dnnl_format_tag_t
REAL = {"f32": F32, "bf16": BF16}
CHANNELS = 1  # axis of the logical n, c, h, w


def dims(*lengths: int) -> ctypes.Array:
    """Return a dnnl_dims_t."""
    return (ctypes.c_int64 * 12)(*lengths)


class MemoryDesc:
    """Shape, element type and order of an array as oneDNN sees it."""

    def __init__(self, handle: c_void_p):
        self.handle = handle
        finalize(self, load().call, "memory_desc_destroy", handle).atexit = False

    @classmethod
    def of(cls, shape: tuple[int, ...], dtype: int, tag: int) -> MemoryDesc:
        """Return the descriptor of a logical shape in the order of ``tag``."""
        lengths = dims(*shape)
        return cls(load().create("memory_desc_create_with_tag", len(shape), lengths, dtype, tag))

    @classmethod
    def activation(cls, shape: tuple[int, ...], dtype: int) -> MemoryDesc:
        """Return the descriptor of an activation of shape (n, h, w, c)."""
        n, h, w, c = shape
        return cls.of((n, c, h, w), dtype, ACDB)

    @classmethod
    def vector(cls, length: int) -> MemoryDesc:
        """Return the descriptor of a float32 vector, such as one element per channel."""
        return cls.of((length,), F32, A)

    @classmethod
    def copy(cls, handle: int) -> MemoryDesc:
        """Return a descriptor of its own for one that belongs to a primitive descriptor."""
        return cls(load().create("memory_desc_clone", handle))

    def part(self, shape: tuple[int, ...], start: tuple[int, ...]) -> MemoryDesc:
        """Return the descriptor of a box of logical ``shape`` that begins at ``start``."""
        name = "memory_desc_create_submemory"
        return MemoryDesc(load().create(name, self.handle, dims(*shape), dims(*start)))

    @property
    def nbytes(self) -> int:
        """Bytes that the array occupies, padding included."""
        return load().md_size(self.handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryDesc) and bool(load().md_equal(self.handle, other.handle))

    __hash__ = None  # type: ignore[assignment]


class Memory:
    """A oneDNN memory object over the memory of a NumPy array, which it keeps alive."""

    def __init__(self, desc: MemoryDesc, array: np.ndarray):
        assert array.nbytes >= desc.nbytes, (array.nbytes, desc.nbytes)
        assert array.flags.c_contiguous
        self.array = array
        library = load()
        address = array.ctypes.data
        self.handle = library.create("memory_create", desc.handle, library.engine, address)
        finalize(self, library.call, "memory_destroy", self.handle).atexit = False


class Scratch:
    """The parts of a scratch array, laid out before its memory is known."""

    def __init__(self) -> None:
        self.nbytes = 0

    def reserve(self, nbytes: int) -> slice:
        """Return where a part of ``nbytes`` lies."""
        start = self.nbytes
        self.nbytes += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return slice(start, start + nbytes)
