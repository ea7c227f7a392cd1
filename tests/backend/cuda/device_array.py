"""Memory of a device that is not there: what the host may not do with a GPU's, it may not here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from denet.errors import UsageError


class DeviceArray:
    """What CuPy's arrays offer, without whatever would compute with them, read or fill them."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # an operator between it and an array of NumPy's is a TypeError

    def __init__(self, host: np.ndarray):
        self._host = host
        self.shape, self.dtype, self.size = host.shape, host.dtype, host.size
        self.nbytes, self.itemsize, self.flags = host.nbytes, host.itemsize, host.flags
        whole = host if host.base is None else host.base
        self.data = SimpleNamespace(ptr=host.ctypes.data, mem=whole)

    def __getitem__(self, part: int | slice) -> DeviceArray:
        assert isinstance(part, int | slice)
        return DeviceArray(self._host[part, ...])

    def __len__(self) -> int:
        return self.shape[0]

    def view(self, dtype: Any) -> DeviceArray:
        """Return the same bytes as elements of another type."""
        return DeviceArray(self._host.view(dtype))

    def reshape(self, *shape: Any) -> DeviceArray:
        """Return the same elements in another shape."""
        assert self.flags.c_contiguous
        return DeviceArray(self._host.reshape(*shape))

    def _refuse(self, *_arguments: Any) -> Any:
        raise TypeError("memory of a device is not the host's: write it and read it by the device")

    __array__ = __bool__ = __eq__ = _refuse


class ArrayMemory:
    """The memory of a ``Device``, as ``DeviceArray``, and its one stream, in which nothing lags."""

    identity, stream = "nowhere", 0

    def beside(self) -> Any:
        """Return the same: whatever is asked for has been done."""
        return self

    def nccl(self) -> Any:
        """Return nothing."""
        raise UsageError("NCCL is for GPUs")

    def allocate(self, nbytes: int) -> DeviceArray:
        """Return zeroed memory that begins on 256 bytes."""
        memory = np.zeros(nbytes + 256, np.uint8)
        start = -memory.ctypes.data % 256
        return DeviceArray(memory[start : start + nbytes])

    def write(self, host: np.ndarray, memory: DeviceArray) -> None:
        """Copy an array."""
        assert host.shape == memory.shape and host.dtype == memory.dtype
        _whole(memory)[...] = host

    def read(self, memory: DeviceArray) -> np.ndarray:
        """Return a copy."""
        return _whole(memory).copy()

    def read_later(self, memories: Sequence[DeviceArray]) -> Callable[[], list[np.ndarray]]:
        """Return a call that returns copies of what the memories hold now."""
        copies = [self.read(memory) for memory in memories]
        return lambda: copies

    def stage(self, host: np.ndarray) -> np.ndarray:
        """Return a copy."""
        return host.copy()

    def send(self, host: np.ndarray, memory: DeviceArray, idle: float) -> float:
        """Copy an array at once."""
        self.write(host, memory)
        return self.mark()

    def mark(self) -> float:
        """Return the time."""
        return time.perf_counter()

    def follow(self, mark: float) -> None:
        """What was asked for has been done."""

    def elapsed(self, first: float, second: float) -> float:
        """Return the difference."""
        return second - first

    def clear(self, memory: DeviceArray) -> None:
        """Fill memory with zeros."""
        _whole(memory).fill(0)

    def address(self, memory: DeviceArray) -> int:
        """Return where an array begins."""
        return memory.data.ptr


def _whole(memory: DeviceArray) -> np.ndarray:
    assert memory.flags.c_contiguous, "a device copies arrays without gaps"
    return memory._host
