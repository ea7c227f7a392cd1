"""Gradients and weights from GPU to GPU, by NCCL, where each rank has one of its own.

NCCL adds in an order of its own, which is the same whenever the same ranks run on the same machines
with the same NCCL: it follows from how their GPUs are connected. That is not so where the switch
between GPUs adds (NVLS: NVIDIA/nccl issues 1497 and 2360), so this is switched off, unless
NCCL_NVLS_ENABLE or NCCL_ALGO say otherwise. As bf16, numbers are rounded at each addition.
https://docs.nvidia.com/deeplearning/nccl/user-guide
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from denet.errors import UsageError, WorkerError
from denet.graph.kernel import Memory
from denet.multi.exchange import Bucket
from denet.multi.lane import Lane
from denet.multi.wire import Wire

log = logging.getLogger(__name__)

SETTINGS = ("NCCL_NVLS_ENABLE", "NCCL_ALGO")  # of which either says whether switches may add


class Link(NamedTuple):
    """A rank among others whose GPUs are connected by NCCL."""

    rank: int
    ranks: int
    lane: Lane
    nccl: Any
    communicator: Any


class _Found(NamedTuple):
    """What one rank tells the others of itself."""

    gpu: str = ""
    version: str = ""
    fault: str = ""


def connect(wire: Wire, memory: Memory) -> Link | None:
    """Connect the GPUs of all ranks; None where they cannot be, which is told and why.

    Ranks that all compute on processors are told nothing.
    """
    lane: Lane | None = memory.lane()
    nccl, found = _look(lane) if lane else (None, _Found())
    everyone = [_Found(*each) for each in wire.gather(tuple(found))]
    if not any(each.gpu for each in everyone):
        return None
    link, obstacle = None, _obstacle(everyone)
    if not obstacle and lane:
        link, obstacle = _open(wire, lane, nccl)
    if obstacle:
        log.warning("gradients travel by MPI, not from GPU to GPU: %s", obstacle)
    return link


def _look(lane: Lane) -> tuple[Any, _Found]:
    try:
        nccl, version = lane.nccl()
    except UsageError as error:
        return None, _Found(lane.identity, fault=str(error))
    return nccl, _Found(lane.identity, version)


def _obstacle(everyone: Sequence[_Found]) -> str:
    """Return why GPUs cannot be connected, the same words on every rank; nothing if they can."""
    first: dict[str, int] = {}
    for rank, each in enumerate(everyone):
        if not each.gpu:
            return f"rank {rank} computes on the processor: give each rank a GPU"
        if each.fault:
            return f"rank {rank}: {each.fault}"
        if each.version != everyone[0].version:
            both = f"rank 0 has NCCL {everyone[0].version}, rank {rank} {each.version}"
            return f"{both}: install the same on all"
        if each.gpu in first:
            return f"ranks {first[each.gpu]} and {rank} share a GPU: give each one of its own"
        first[each.gpu] = rank
    return ""


def _open(wire: Wire, lane: Lane, nccl: Any) -> tuple[Link | None, str]:
    """Return the link, or why some rank has none."""
    if not any(name in os.environ for name in SETTINGS):
        os.environ["NCCL_NVLS_ENABLE"] = "0"
    key, communicator, fault = b"", None, ""
    try:
        key = nccl.get_unique_id() if wire.rank == 0 else b""
    except nccl.NcclError as error:
        fault = str(error)
    key = wire.gather(key)[0]
    if key:
        try:
            communicator = nccl.NcclCommunicator(wire.ranks, key, wire.rank)
        except nccl.NcclError as error:
            fault = str(error)
    faults = wire.gather(fault)
    if any(faults):
        return None, next(f"rank {rank}: {each}" for rank, each in enumerate(faults) if each)
    return Link(wire.rank, wire.ranks, lane, nccl, communicator), ""


class NcclExchange:
    """See ``Exchange`` in exchange.py; nothing here waits but streams of the GPU.

    Every bucket goes through one memory, in which all ranks have pieces of one size, as NCCL wants
    it: what lies behind a bucket is neither read nor written.
    """

    def __init__(self, link: Link, memory: Memory, cut: Sequence[Bucket], as_bf16: bool):
        self._link, self._cut = link, cut
        self.weights: Sequence[float] = ()
        self._seconds = 0.0
        nccl, most = link.nccl, max((bucket.piece for bucket in cut), default=0)
        self._room = memory.allocate(4 * link.ranks * most).view(np.float32)
        if as_bf16:
            self._sent, self._sent_type = self._room.view(np.uint16), nccl.NCCL_BFLOAT16
        else:
            self._sent, self._sent_type = self._room, nccl.NCCL_FLOAT32

    @property
    def seconds(self) -> float:
        """Seconds that the GPU waited for what was on its way."""
        self._seconds += self._link.lane.waited()
        return self._seconds

    def send(self, number: int, gradients: Any) -> None:
        """Begin to sum a bucket of the gradients, which nobody changes until ``finish``."""
        bucket, lane, (whole, own) = self._cut[number], self._link.lane, self._places(number)
        part, room = gradients[bucket.own(self._link.rank)], self._sent
        lane.follow()
        lane.copy(gradients[bucket.part], room[whole], self.weights[self._link.rank])
        with self._calls() as (nccl, communicator):
            communicator.reduceScatter(
                lane.address(room),
                lane.address(room[own]),
                *(bucket.piece, self._sent_type, nccl.NCCL_SUM, lane.stream),
            )
        lane.copy(room[own][: part.size], part)

    def finish(self) -> None:
        """Let the memory wait until this rank's part of the gradients is the weighted sum."""
        with self._calls() as (_, communicator):
            communicator.check_async_error()
        self._link.lane.rejoin()

    def join(self, faults: Any, states: Any, weight: float) -> None:
        """Bring together what was not finite, and the running averages."""
        lane = self._link.lane
        lane.follow()
        lane.copy(states, states, weight)
        with self._calls() as (nccl, communicator):
            nccl.groupStart()
            for array, kind, way in (
                (faults, nccl.NCCL_INT32, nccl.NCCL_MAX),
                (states, nccl.NCCL_FLOAT32, nccl.NCCL_SUM),
            ):
                if array.size:
                    place = lane.address(array)
                    communicator.allReduce(place, place, array.size, kind, way, lane.stream)
            nccl.groupEnd()
        lane.rejoin()

    def hand_out(self, values: Any) -> None:
        """Fill flat values, of which each rank has its part, with those of all."""
        lane, room = self._link.lane, self._room
        lane.follow()
        for number, bucket in enumerate(self._cut):
            whole, own = self._places(number)
            part = values[bucket.own(self._link.rank)]
            lane.copy(part, room[own][: part.size])
            with self._calls() as (nccl, communicator):
                communicator.allGather(
                    lane.address(room[own]),
                    lane.address(room),
                    *(bucket.piece, nccl.NCCL_FLOAT32, lane.stream),
                )
            lane.copy(room[whole], values[bucket.part])
        lane.rejoin()

    def _places(self, number: int) -> tuple[slice, slice]:
        """Return where a bucket lies on its way, and where this rank's piece of it does."""
        bucket = self._cut[number]
        start = self._link.rank * bucket.piece
        return slice(0, sum(bucket.counts)), slice(start, start + bucket.piece)

    @contextmanager
    def _calls(self) -> Iterator[tuple[Any, Any]]:
        """Give NCCL and the communicator. Raises WorkerError for what NCCL finds."""
        try:
            yield self._link.nccl, self._link.communicator
        except self._link.nccl.NcclError as error:
            raise WorkerError(
                f"gradients from GPU to GPU: {error}: run again with NCCL_DEBUG=WARN to see more"
            ) from None
