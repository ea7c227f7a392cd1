"""A stream beside that of a device's memory: what goes to other GPUs and comes from there."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from denet.backend.cuda.cast import SIZE
from denet.backend.cuda.device import Device
from denet.backend.cuda.found import nccl_version
from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.source import Source

ELEMENTS = {np.dtype(np.float32): "float", np.dtype(np.uint16): "bf16"}


class DeviceLane:
    """See ``Lane`` in multi/lane.py."""

    def __init__(self, device: Device):
        self._device, self._own = device, device.beside()
        self.identity, self.stream = device.identity, self._own.stream
        self._waits: deque[tuple[Any, Any]] = deque()

    def nccl(self) -> tuple[Any, str]:
        """Return NCCL and its version. Raises UsageError where there is none."""
        nccl = self._device.nccl()
        return nccl, nccl_version(nccl)

    def address(self, memory: Any) -> int:
        """Return where an array begins."""
        return self._device.address(memory)

    def follow(self) -> None:
        """Let what is asked for here wait for all that was asked of the memory so far."""
        self._own.follow(self._device.mark())

    def rejoin(self) -> None:
        """Let what is asked of the memory wait for all that was asked for here so far."""
        before = self._device.mark()
        self._device.follow(self._own.mark())
        self._waits.append((before, self._device.mark()))

    def waited(self) -> float:
        """Return the seconds that the memory's stream waited, of those that are not told yet."""
        seconds = 0.0
        while self._waits and (found := self._device.elapsed(*self._waits[0])) is not None:
            seconds += found
            self._waits.popleft()
        return seconds

    def copy(self, source: Any, target: Any, share: float = 1.0) -> None:
        """target = share * source, flat float32, or bf16 as uint16; both may be one array."""
        count = source.size
        assert count == target.size
        if not count:
            return
        types = {"FROM": ELEMENTS[source.dtype], "TO": ELEMENTS[target.dtype]}
        given: dict[str, int | str] = {"SIZE": SIZE, "THREADS": THREADS, "real": "float", **types}
        kernel = Source("cast.cu", "cast", tuple(sorted(given.items())))
        grid = blocks(count, THREADS * SIZE), 1, 1
        arguments = [source, target, np.float32(share), np.int64(count)]
        self._own.launch(kernel, grid, THREADS, arguments)()
