"""NCCL among GPUs that are not there: ranks are threads, each with a device whose streams lag.

It refuses what NCCL would refuse, and what NCCL would answer by waiting for ever or by numbers that
are wrong. Numbers are those of a ring: the sum of a piece begins behind the rank that gets it, and
is rounded to the type on its way at each addition.
https://docs.nvidia.com/deeplearning/nccl/user-guide
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
from backend.cuda.device_array import DeviceArray
from backend.cuda.streams import Stream, StreamsDevice
from multi.threads import Lost, News

from denet.bfloat16 import from_float32, to_float32
from denet.errors import UsageError

SECONDS = 60  # without news, after which whoever waits complains
SUM, MAX = 0, 2


class NcclError(RuntimeError):
    """What NCCL tells of itself."""


class Misuse(AssertionError):
    """What NCCL would wait for without end, or answer by wrong numbers."""


class Type(NamedTuple):
    """A type of numbers: how they lie in memory, and how they become and are made of others."""

    stored: Any
    load: Callable[[np.ndarray], np.ndarray]
    store: Callable[[np.ndarray], np.ndarray]


TYPES = {  # by the numbers of nccl.h
    2: Type(np.int32, np.array, np.array),
    7: Type(np.float32, np.array, np.array),
    9: Type(np.uint16, to_float32, from_float32),
}
WAYS = {SUM: np.add, MAX: np.maximum}


class Call(NamedTuple):
    """One call; ranks agree in all but the addresses."""

    name: str
    count: int
    kind: int
    way: int
    sent: int
    received: int

    @property
    def agreed(self) -> tuple[Any, ...]:
        """What is the same on all ranks."""
        return self[:4]


@dataclass
class Round:
    """What all ranks do together: their calls, and who has come to it in its stream."""

    calls: dict[int, list[Call]] = field(default_factory=dict)
    arrived: set[int] = field(default_factory=set)
    done: bool = False


class Meeting:
    """The ranks of one unique id."""

    def __init__(self, ranks: int):
        self.ranks = ranks
        self.gpus: dict[int, Gpu] = {}
        self.rounds: list[Round] = []


class Gpu(StreamsDevice):
    """The device of the thread that makes it, the GPU of this number."""

    def __init__(self, order: str, number: int, nccl: FakeNccl | None):
        super().__init__(order)
        self.identity = f"slot {number}"
        self._nccl, self._memories = nccl, list[tuple[int, int, Any]]()
        self._seen = 0
        if nccl:
            nccl.local.gpu, nccl.local.group = self, None

    @property
    def stream(self) -> int:
        """A number under which NCCL finds the stream."""
        return self._nccl.number(self, self._own) if self._nccl else 0

    def nccl(self) -> FakeNccl:
        """Return NCCL."""
        if not self._nccl:
            raise UsageError("NCCL is not installed: pip install nvidia-nccl-cu13")
        return self._nccl

    def allocate(self, nbytes: int) -> DeviceArray:
        """Return memory that NCCL may be given."""
        memory = super().allocate(nbytes)
        self._memories.append((self.address(memory), nbytes, ref(memory.data.mem)))
        return memory

    def holds(self, address: int, nbytes: int) -> bool:
        """Say whether these bytes lie in one memory of this device that has not been given back."""
        return any(
            start <= address and address + nbytes <= start + size and memory() is not None
            for start, size, memory in self._memories
        )

    def progress(self) -> None:
        """Do what a GPU does while its host waits."""
        while self.streams.step():
            pass

    def stuck(self) -> None:
        """Wait for what other ranks do."""
        assert self._nccl
        with self._nccl.news as news:
            if not news.wait_for(lambda: news.count != self._seen or news.lost, SECONDS):
                raise Misuse("all streams wait")
            self._seen = news.count
            if news.lost:
                raise Lost


class FakeNccl:
    """The module of CuPy, for the threads of one test; ``fault`` makes opening fail on a rank."""

    NCCL_INT32, NCCL_FLOAT32, NCCL_BFLOAT16 = TYPES
    NCCL_SUM, NCCL_MAX = WAYS
    NcclError = NcclError

    def __init__(self, news: News, version: int = 23203):
        self.news, self.version = news, version
        self.local = threading.local()
        self.meetings: dict[bytes, Meeting | None] = {}
        self.opened: list[Communicator] = []
        self.made: list[str] = []  # names of calls of rank 0, in order
        self._streams: list[tuple[Gpu, Stream]] = []

    def number(self, gpu: Gpu, stream: Stream) -> int:
        """Return the number of a stream."""
        for number, (_, known) in enumerate(self._streams):
            if known is stream:
                return number
        self._streams.append((gpu, stream))
        return len(self._streams) - 1

    def stream(self, number: int) -> tuple[Gpu, Stream]:
        """Return a stream, and whose it is."""
        return self._streams[number]

    def get_version(self) -> int:
        """Return what ncclGetVersion does."""
        return self.version

    def get_unique_id(self) -> bytes:
        """Return a new id."""
        key = os.urandom(128)
        self.meetings[key] = None
        return key

    def NcclCommunicator(self, ranks: int, key: bytes, rank: int) -> Communicator:  # noqa: N802
        """Return that of a rank, when all have come."""
        if key not in self.meetings:
            raise Misuse("an id that no rank has made")
        gpu = self.local.gpu
        with self.news as news:
            meeting = self.meetings[key] = self.meetings[key] or Meeting(ranks)
            if meeting.ranks != ranks or rank in meeting.gpus or not 0 <= rank < ranks:
                raise Misuse(f"rank {rank} of {ranks} is not one of {meeting.ranks}")
            meeting.gpus[rank] = gpu
            news.tell()
            if not news.wait_for(lambda: len(meeting.gpus) == ranks or news.lost, SECONDS):
                raise Misuse("ranks that do not come")
        if len({each.identity for each in meeting.gpus.values()}) < ranks:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: Duplicate GPU detected")
        self.opened.append(Communicator(self, meeting, rank))
        return self.opened[-1]

    def groupStart(self) -> None:  # noqa: N802
        """Begin to gather the calls of this thread."""
        if self.local.group is not None:
            raise Misuse("a group in a group")
        self.local.group = []

    def groupEnd(self) -> None:  # noqa: N802
        """Make the calls as one."""
        if self.local.group is None:
            raise Misuse("a group that ends without a beginning")
        group, self.local.group = self.local.group, None
        if group:
            owners = {(id(owner), stream) for owner, stream, _ in group}
            if len(owners) > 1:
                raise Misuse("a group of several streams")
            owner, stream, _ = group[0]
            owner.put([call for *_, call in group], stream)


class Communicator:
    """What one rank has of NCCL."""

    def __init__(self, nccl: FakeNccl, meeting: Meeting, rank: int):
        self._nccl, self._meeting, self._rank = nccl, meeting, rank
        self._made = 0
        self._open = True

    def reduceScatter(  # noqa: N802
        self, sent: int, received: int, count: int, kind: int, way: int, stream: int
    ) -> None:
        """Rank r gets element r * count and those behind it of the sum."""
        self._call(Call("reduceScatter", count, kind, way, sent, received), stream)

    def allGather(  # noqa: N802
        self, sent: int, received: int, count: int, kind: int, stream: int
    ) -> None:
        """All get what each has, side by side."""
        self._call(Call("allGather", count, kind, SUM, sent, received), stream)

    def allReduce(  # noqa: N802
        self, sent: int, received: int, count: int, kind: int, way: int, stream: int
    ) -> None:
        """All get the sum."""
        self._call(Call("allReduce", count, kind, way, sent, received), stream)

    def check_async_error(self) -> None:
        """Raise what was found since."""
        self._check_open()

    def destroy(self) -> None:
        """Give everything back."""
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise Misuse("a communicator that has been destroyed")

    def _call(self, call: Call, stream: int) -> None:
        self._check_open()
        if call.count <= 0:
            raise Misuse(f"{call.name} of nothing")
        if self._nccl.stream(stream)[0].identity != self._gpu.identity:
            raise Misuse("a stream of another GPU")
        own = call.count * np.dtype(TYPES[call.kind].stored).itemsize
        whole = own * self._meeting.ranks
        sent = whole if call.name == "reduceScatter" else own
        received = whole if call.name == "allGather" else own
        for address, nbytes in ((call.sent, sent), (call.received, received)):
            if not self._gpu.holds(address, nbytes):
                raise Misuse(f"{call.name}: {nbytes} bytes that are not of this GPU's memory")
        inner = {"reduceScatter": call.sent, "allGather": call.received}.get(call.name)
        if inner is not None:
            in_place = {call.sent, call.received} == {inner, inner + self._rank * own}
        else:
            in_place = call.sent == call.received
        (_, end), (start, _) = sorted(
            [(call.sent, call.sent + sent), (call.received, call.received + received)]
        )
        if start < end and not in_place:
            raise Misuse(f"{call.name}: what is sent lies in what is received, at another place")
        if self._nccl.local.group is None:
            self.put([call], stream)
        else:
            self._nccl.local.group.append((self, stream, call))

    @property
    def _gpu(self) -> Gpu:
        return self._meeting.gpus[self._rank]

    def put(self, calls: list[Call], stream: int) -> None:
        """Put calls into a stream, as one."""
        number, rounds = self._made, self._meeting.rounds
        self._made += 1
        with self._nccl.news:
            if number == len(rounds):
                rounds.append(Round())
            for other, theirs in rounds[number].calls.items():
                if [each.agreed for each in theirs] != [each.agreed for each in calls]:
                    raise Misuse(f"rank {other} calls {theirs}, rank {self._rank} {calls}")
            rounds[number].calls[self._rank] = calls
        if not self._rank:
            self._nccl.made += [call.name for call in calls]
        gpu, queue = self._nccl.stream(stream)
        gpu.streams.add(queue, partial(self._arrive, rounds[number]))

    def _arrive(self, round_: Round) -> bool:
        """Say whether what all do together is done: the last one does it."""
        with self._nccl.news as news:
            if self._rank not in round_.arrived:
                round_.arrived.add(self._rank)
                if len(round_.arrived) == self._meeting.ranks:
                    for each in zip(
                        *(call for _, call in sorted(round_.calls.items())), strict=True
                    ):
                        _do(each)
                    round_.done = True
                    news.tell()
        return round_.done


def _do(calls: tuple[Call, ...]) -> None:
    """Do what one call of all ranks asks for."""
    name, count, ranks = calls[0].name, calls[0].count, len(calls)
    kind, way = TYPES[calls[0].kind], WAYS[calls[0].way]

    def at(address: int, elements: int) -> np.ndarray:
        kept = (ctypes.c_char * (elements * np.dtype(kind.stored).itemsize)).from_address(address)
        return np.frombuffer(kept, kind.stored)

    def total(of: int, parts: list[np.ndarray]) -> np.ndarray:
        """Return the sum that ends at a rank."""
        turns = [parts[(of + 1 + turn) % ranks] for turn in range(ranks)]
        running = turns[0].copy()
        for part in turns[1:]:
            running = kind.store(way(kind.load(running), kind.load(part)))
        return running

    if name == "allGather":
        whole = np.concatenate([at(call.sent, count) for call in calls])
        for call in calls:
            at(call.received, ranks * count)[:] = whole
        return
    if name == "allReduce":
        parts = [at(call.sent, count).copy() for call in calls]
        ends = [count * rank // ranks for rank in range(ranks + 1)]
        cuts = [slice(*pair) for pair in pairwise(ends)]
        whole = np.concatenate(
            [total(rank, [part[cut] for part in parts]) for rank, cut in enumerate(cuts)]
        )
        for call in calls:
            at(call.received, count)[:] = whole
        return
    parts = [at(call.sent, ranks * count).copy() for call in calls]
    for rank, call in enumerate(calls):
        own = [part[rank * count : (rank + 1) * count] for part in parts]
        at(call.received, count)[:] = total(rank, own)
