"""What the CUDA backend needs of a device: memory, copies and launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from denet.backend.cuda.source import Source
from denet.graph.kernel import Call

Grid = tuple[int, int, int]


class Device(Protocol):
    """A GPU, or what runs the kernels in its place.

    Memory comes as arrays that slice, ``view`` and ``reshape`` as NumPy's do (CuPy's do).
    """

    name: str  # as its maker calls it
    compiler: str  # what compiles kernels for it, with its version
    capability: int  # compute capability: 90 for 9.0
    processors: int  # multiprocessors
    identity: str  # of the GPU itself: no two have the same

    @property
    def stream(self) -> int:
        """What libraries that launch by themselves know its stream by."""
        ...

    def beside(self) -> Device:
        """Return the same device with a stream of its own; marks are those of both."""
        ...

    def nccl(self) -> Any:
        """Return NCCL for it, a module as CuPy's. Raises UsageError where there is none."""
        ...

    def allocate(self, nbytes: int) -> Any:
        """Return ``nbytes`` of zeroed memory, 256-byte aligned, as a uint8 array. MemoryError."""
        ...

    def write(self, host: np.ndarray, memory: Any) -> None:
        """Copy a host array to memory of its shape and type, before whatever is launched later."""
        ...

    def read(self, memory: Any) -> np.ndarray:
        """Return a host array with what memory holds once all that was launched has run."""
        ...

    def read_later(self, memories: Sequence[Any]) -> Callable[[], list[np.ndarray]]:
        """Return a call that waits for all that was launched before, and returns host arrays."""
        ...

    def stage(self, host: np.ndarray) -> np.ndarray:
        """Return a copy in memory that the device reads by itself; any thread may ask for one."""
        ...

    def send(self, host: np.ndarray, memory: Any, idle: Any) -> Any:
        """Begin to copy what ``stage`` returned, beside what is launched; return its mark.

        To memory of its shape and type, which nobody uses from the mark ``idle`` on.
        """
        ...

    def mark(self) -> Any:
        """Return the moment when all that was launched has run; what is sent does not count."""
        ...

    def follow(self, mark: Any) -> None:
        """Let whatever is launched later wait for a mark."""
        ...

    def elapsed(self, first: Any, second: Any) -> float | None:
        """Return the seconds from a mark to a later one; None while that has not come."""
        ...

    def clear(self, memory: Any) -> None:
        """Fill memory with zeros, before whatever is launched later."""
        ...

    def address(self, memory: Any) -> int:
        """Return where an array begins in the device's memory."""
        ...

    def free_bytes(self) -> int:
        """Return how many bytes of memory are left."""
        ...

    def wait(self) -> None:
        """Return when all that was launched has run."""
        ...

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Make these calls, wait for the last; return how long the device was at each."""
        ...

    def capture(self, calls: Sequence[Call]) -> Call:
        """Return a call that launches what these launch, every time the same, as one."""
        ...

    def launch(
        self,
        source: Source,
        grid: Grid,
        threads: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> Call:
        """Compile and bind a kernel; return the call that runs it.

        ``arguments`` are arrays (the function gets their address), NumPy scalars, whose type is
        that of the parameter (np.int32 int, np.int64 long long, np.uint64, np.float32), and None
        (a null pointer). ``shared`` counts bytes of dynamic shared memory.
        """
        ...
