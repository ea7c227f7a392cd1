"""A device whose two streams really lag: launches and copies run in an order that events allow."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from backend.cuda.device_array import DeviceArray
from backend.cuda.host_device import HostDevice

from denet.backend.cuda.device import Grid
from denet.backend.cuda.source import Source
from denet.graph.kernel import Call

ORDERS = ("launches first", "copies first", "random")


@dataclass(eq=False)
class Mark:
    """An event, recorded where its stream has come to it."""

    is_past: bool = False


Work = Callable[[], None] | tuple[str, Mark]


class StreamsDevice(HostDevice):
    """A HostDevice that does what was asked for as late as the order of its streams allows.

    With "launches first" copies wait until a launch waits for them; with "copies first" launches
    wait until the host reads, or a copy waits for them. What no mark binds comes in the wrong
    order in one of them.
    """

    def __init__(self, order: str):
        super().__init__()
        self._order, self._random = order, random.Random(order)
        self._launches: deque[Work] = deque()
        self._sending: deque[Work] = deque()

    def write(self, host: np.ndarray, memory: DeviceArray) -> None:
        """Copy an array, in order of the launches."""
        host = np.array(host)
        self._add(self._launches, lambda: super(StreamsDevice, self).write(host, memory))

    def clear(self, memory: DeviceArray) -> None:
        """Fill memory with zeros, in order of the launches."""
        self._add(self._launches, lambda: super(StreamsDevice, self).clear(memory))

    def allocate(self, nbytes: int) -> DeviceArray:
        """Return memory that is zeroed in order of the launches."""
        memory = super().allocate(nbytes)
        memory._host.fill(0xA5)
        self.clear(memory)
        return memory

    def launch(
        self,
        source: Source,
        grid: Grid,
        threads: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> Call:
        """Compile and bind a kernel; the call puts it behind other launches."""
        call = super().launch(source, grid, threads, arguments, shared)
        kept = list(arguments)

        def put() -> None:
            self._add(self._launches, lambda: (call(), kept)[0])

        return put

    def send(self, host: np.ndarray, memory: DeviceArray, idle: Mark) -> Mark:
        """Copy an array in the other stream."""
        self._add(self._sending, ("wait", idle))
        self._add(self._sending, lambda: super(StreamsDevice, self).write(host, memory))
        return self._recorded(self._sending)

    def mark(self) -> Mark:
        """Return an event behind the launches."""
        return self._recorded(self._launches)

    def follow(self, mark: Mark) -> None:
        """Let launches wait."""
        self._add(self._launches, ("wait", mark))

    def elapsed(self, first: Mark, second: Mark) -> float | None:
        """Return 0 when the second has come."""
        return 0.0 if second.is_past else None

    def read(self, memory: DeviceArray) -> np.ndarray:
        """Return a copy when all launches have run."""
        self.wait()
        return super().read(memory)

    def wait(self) -> None:
        """Run all launches, and the copies that they wait for."""
        while self._launches:
            first, second = self._streams()
            assert self._step(first) or self._step(second), "both streams wait"

    def _recorded(self, stream: deque[Work]) -> Mark:
        mark = Mark()
        self._add(stream, ("record", mark))
        return mark

    def _add(self, stream: deque[Work], work: Work) -> None:
        stream.append(work)
        for _ in range(self._random.randrange(4) if self._order == "random" else len(stream) + 1):
            self._step(self._streams()[0])

    def _streams(self) -> tuple[deque[Work], deque[Work]]:
        """Return the stream whose turn it is, and the other."""
        streams = self._launches, self._sending
        if self._order == "random":
            return streams[:: self._random.choice((1, -1))]
        return streams[:: -1 if self._order == "copies first" else 1]

    def _step(self, stream: deque[Work]) -> bool:
        """Do the first thing of a stream; return whether it could."""
        if not stream:
            return False
        work = stream[0]
        if isinstance(work, tuple):
            name, mark = work
            if name == "wait" and not mark.is_past:
                return False
            mark.is_past = True
        else:
            work()
        stream.popleft()
        return True
