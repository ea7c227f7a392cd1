"""A device whose streams really lag: launches and copies run in an order that events allow."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
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


Work = Callable[[], Any] | tuple[str, Mark]  # what returns False has to be done once more
Stream = deque[Work]


class Streams:
    """The streams of a device, the first of which is that of launches."""

    def __init__(self, order: str):
        self._order, self._random = order, random.Random(order)
        self._all: list[Stream] = []

    def new(self) -> Stream:
        """Return one more stream."""
        self._all.append(deque())
        return self._all[-1]

    def add(self, stream: Stream, work: Work) -> None:
        """Put work into a stream; do some of what the order has first."""
        stream.append(work)
        for _ in range(self._random.randrange(4) if self._order == "random" else len(stream) + 1):
            self._step(self._in_order()[0])

    def recorded(self, stream: Stream) -> Mark:
        """Return an event of a stream."""
        mark = Mark()
        self.add(stream, ("record", mark))
        return mark

    def step(self) -> bool:
        """Do the first thing of the first stream that can go on; return whether one could."""
        return any(self._step(stream) for stream in self._in_order())

    def _in_order(self) -> list[Stream]:
        """Return the streams, the one whose turn it is first."""
        if self._order == "random":
            return self._random.sample(self._all, len(self._all))
        return self._all[:: -1 if self._order == "copies first" else 1]

    def _step(self, stream: Stream) -> bool:
        """Do the first thing of a stream; return whether it could."""
        if not stream:
            return False
        work = stream[0]
        if isinstance(work, tuple):
            name, mark = work
            if name == "wait" and not mark.is_past:
                return False
            mark.is_past = True
        elif work() is False:
            return False
        stream.popleft()
        return True


class StreamsDevice(HostDevice):
    """A HostDevice that does what was asked for as late as the order of its streams allows.

    With "launches first" copies wait until a launch waits for them; with "copies first" launches
    wait until the host reads, or a copy waits for them. What no mark binds comes in the wrong
    order in one of them. A device ``beside`` another does as copies do.
    """

    def __init__(self, order: str):
        super().__init__()
        self.streams = Streams(order)
        self._own, self._sending = self.streams.new(), self.streams.new()

    def beside(self) -> StreamsDevice:
        """Return the same device with one more stream."""
        other = copy(self)
        other._own = self.streams.new()
        return other

    def write(self, host: np.ndarray, memory: DeviceArray) -> None:
        """Copy an array, in order of the launches."""
        host = np.array(host)
        self._add(lambda: super(StreamsDevice, self).write(host, memory))

    def clear(self, memory: DeviceArray) -> None:
        """Fill memory with zeros, in order of the launches."""
        self._add(lambda: super(StreamsDevice, self).clear(memory))

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
            self._add(lambda: (call(), kept)[0])

        return put

    def send(self, host: np.ndarray, memory: DeviceArray, idle: Mark) -> Mark:
        """Copy an array in the other stream."""
        self.streams.add(self._sending, ("wait", idle))
        self.streams.add(self._sending, lambda: super(StreamsDevice, self).write(host, memory))
        return self.streams.recorded(self._sending)

    def mark(self) -> Mark:
        """Return an event behind the launches."""
        return self.streams.recorded(self._own)

    def follow(self, mark: Mark) -> None:
        """Let launches wait."""
        self._add(("wait", mark))

    def elapsed(self, first: Mark, second: Mark) -> float | None:
        """Return 0 when the second has come."""
        return 0.0 if second.is_past else None

    def read(self, memory: DeviceArray) -> np.ndarray:
        """Return a copy when all launches have run."""
        self.wait()
        return super().read(memory)

    def wait(self) -> None:
        """Run all launches, and the copies that they wait for."""
        while self._own:
            if not self.streams.step():
                self.stuck()

    def stuck(self) -> None:
        """Complain that every stream waits."""
        raise AssertionError("all streams wait")

    def _add(self, work: Work) -> None:
        self.streams.add(self._own, work)
