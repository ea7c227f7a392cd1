"""The stand-in of NCCL refuses what NCCL would refuse, hang on, or answer by wrong numbers."""

from __future__ import annotations

import numpy as np
import pytest
from backend.cuda.devices import NO_SHIM, unavailable
from multi.fake_nccl import Communicator, FakeNccl, Gpu, Misuse, NcclError
from multi.threads import Board

if reason := unavailable() or NO_SHIM:
    pytest.skip(reason, allow_module_level=True)

COUNT = 4


class Rank:
    """A rank with memory of its own, and calls whose arguments are right where they are not given.

    Its calls go to the stream ``beside`` that of its device.
    """

    def __init__(self, rank, nccl, key):
        self.rank, self.nccl = rank, nccl
        self.gpu = Gpu("random", rank, nccl)
        self.other = self.gpu.beside()
        self.array = self.gpu.allocate(4 * COUNT).view(np.float32)
        self.gpu.write(np.arange(COUNT, dtype=np.float32) + rank, self.array)
        self.place = self.gpu.address(self.array)
        self.communicator: Communicator = nccl.NcclCommunicator(2, key, rank)
        self.wait()

    def reduce(self, sent=None, received=None, count=COUNT, kind=7, way=0, stream=None):
        """Call allReduce."""
        places = [self.place if place is None else place for place in (sent, received)]
        stream = self.other.stream if stream is None else stream
        self.communicator.allReduce(*places, count, kind, way, stream)

    def wait(self):
        """Return when the device has done everything."""
        self.gpu.follow(self.other.mark())
        self.gpu.wait()


def both(work):
    """Let two ranks do something; return what they return."""
    board = Board(2)
    nccl = FakeNccl(board.news)
    key = nccl.get_unique_id()

    def one(rank):
        return work(Rank(rank, nccl, key))

    return board.run(one)


def test_sums_come_when_all_have_come():
    def work(rank):
        rank.reduce()
        rank.wait()
        return rank.gpu.read(rank.array).tolist()

    assert both(work) == [[1, 3, 5, 7]] * 2


def host_memory(rank):
    rank.reduce(sent=np.zeros(COUNT, np.float32).ctypes.data)


def beyond_the_end(rank):
    rank.reduce(count=COUNT + 1)


def given_back(rank):
    del rank.array
    rank.reduce()


def overlapping(rank):
    rank.reduce(received=rank.place + 4, count=2)


def another_place(rank):
    """In place is where the rank's piece lies."""
    whole = rank.gpu.allocate(8 * COUNT)
    start, own = rank.gpu.address(whole), 4 * COUNT
    rank.communicator.allGather(start + (1 - rank.rank) * own, start, COUNT, 7, rank.other.stream)


def of_nothing(rank):
    rank.reduce(count=0)


def other_count(rank):
    rank.reduce(count=COUNT - rank.rank)
    rank.wait()


def other_type(rank):
    rank.reduce(kind=2 if rank.rank else 7)
    rank.wait()


def other_way(rank):
    rank.reduce(way=2 * rank.rank)
    rank.wait()


def other_order(rank):
    for count in (1, 2) if rank.rank else (2, 1):
        rank.reduce(count=count)
    rank.wait()


def other_group(rank):
    """Calls of a group are one: ranks that group otherwise wait for ever."""
    if rank.rank:
        rank.nccl.groupStart()
    rank.reduce()
    rank.reduce()
    if rank.rank:
        rank.nccl.groupEnd()
    rank.wait()


def group_in_a_group(rank):
    rank.nccl.groupStart()
    rank.nccl.groupStart()


def group_without_a_beginning(rank):
    rank.nccl.groupEnd()


def group_of_two_streams(rank):
    rank.nccl.groupStart()
    rank.reduce()
    rank.reduce(stream=rank.gpu.stream)
    rank.nccl.groupEnd()


def destroyed(rank):
    rank.communicator.destroy()
    rank.reduce()


def destroyed_and_asked(rank):
    rank.communicator.destroy()
    rank.communicator.check_async_error()


def unknown_id(rank):
    rank.nccl.NcclCommunicator(2, bytes(128), rank.rank)


def a_rank_twice(rank):
    rank.nccl.NcclCommunicator(2, *rank.nccl.meetings, 0)


@pytest.mark.parametrize(
    "misuse",
    [
        *(host_memory, beyond_the_end, given_back, overlapping, another_place, of_nothing),
        *(other_count, other_type, other_way, other_order, other_group),
        *(group_in_a_group, group_without_a_beginning, group_of_two_streams),
        *(destroyed, destroyed_and_asked, unknown_id, a_rank_twice),
    ],
    ids=lambda misuse: misuse.__name__,
)
def test_misuse_is_refused(misuse):
    with pytest.raises(Misuse):
        both(misuse)


def test_a_stream_of_another_gpu_is_refused():
    streams = {}

    def work(rank):
        streams[rank.rank] = rank.other.stream
        rank.reduce()
        rank.wait()
        rank.reduce(stream=streams[1 - rank.rank])

    with pytest.raises(Misuse, match="a stream of another GPU"):
        both(work)


def test_two_ranks_of_one_gpu_are_refused():
    board = Board(2)
    nccl = FakeNccl(board.news)
    key = nccl.get_unique_id()

    def work(rank):
        Gpu("random", 0, nccl)
        nccl.NcclCommunicator(2, key, rank)

    with pytest.raises(NcclError, match="Duplicate GPU"):
        board.run(work)


def test_who_waits_for_a_rank_that_does_not_call_complains(monkeypatch):
    monkeypatch.setattr("multi.fake_nccl.SECONDS", 0.2)

    def work(rank):
        if rank.rank:
            return
        rank.reduce()
        rank.wait()

    with pytest.raises(Misuse, match="all streams wait"):
        both(work)
