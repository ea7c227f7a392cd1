"""What ranks send each other, by MPI. Nothing blocks: a rank that waits hears signals and news."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from denet.bfloat16 import from_float32, to_float32

SPINS = 50  # polls before a waiting rank sleeps between them
LONG = 1 << 12  # elements: longer arrays are summed in parts
SLEEP = 0.0002  # seconds, of which a core has other uses


class Journey:
    """Requests under way, and the arrays that MPI reads and writes until they have ended."""

    def __init__(self, requests: list[Any], arrays: list[np.ndarray]):
        self._requests, self._arrays = requests, arrays

    def has_ended(self) -> bool:
        """Return whether all have."""
        while self._requests and self._requests[-1].Test():
            self._requests.pop()
        return not self._requests


class Wire:
    """Collective operations on arrays of the host, among the ranks of an mpi4py communicator.

    All ranks make the same calls in the same order. Sums are made here, in the order of the ranks:
    whatever MPI library carries the numbers, the same ranks get the same bits. ``seconds`` adds up
    how long this rank has waited, ``received`` the bytes that have come from others.
    """

    def __init__(self, communicator: Any):
        self._communicator = communicator
        self.rank, self.ranks = communicator.Get_rank(), communicator.Get_size()
        self.seconds, self.received = 0.0, 0

    def begin_sum_of_parts(
        self, values: np.ndarray, counts: Sequence[int], as_bf16: bool = False
    ) -> Callable[[Sequence[float]], np.ndarray | None]:
        """Begin to send every rank its part of ``values``, flat float32, of so many elements.

        Returns a call that takes the weights of the ranks and returns the weighted sum of what the
        ranks had for this one, None while that is on its way. ``values`` stay as they are until
        then. ``as_bf16`` halves what travels; it is summed in float32.
        """
        own = counts[self.rank]
        sent = from_float32(values) if as_bf16 else values
        journey, received = self._begin_trade(sent, counts, [own] * self.ranks)

        def result(weights: Sequence[float]) -> np.ndarray | None:
            if not journey.has_ended():
                return None
            parts = received.reshape(self.ranks, own)
            parts = to_float32(parts) if as_bf16 else parts
            total = np.multiply(parts[0], np.float32(weights[0]))
            for part, weight in zip(parts[1:], weights[1:], strict=True):
                part *= np.float32(weight)
                total += part
            return total

        return result

    def trade(
        self, values: np.ndarray, counts: Sequence[int], expected: Sequence[int]
    ) -> np.ndarray:
        """Send each rank so many of ``values``, flat float32; return what they sent this one.

        ``expected`` tells how many elements come from each.
        """
        journey, received = self._begin_trade(values, counts, expected)
        self.wait(journey.has_ended)
        return received

    def _begin_trade(
        self, sent: np.ndarray, counts: Sequence[int], expected: Sequence[int]
    ) -> tuple[Journey, np.ndarray]:
        """Return a trade under way, and what it fills.

        It goes from rank to rank: MPICH's collective for pieces of unequal length is slow.
        """
        received = np.empty(sum(expected), sent.dtype)
        self._count(received, expected[self.rank])
        leaving, coming = (
            np.split(array, np.cumsum(lengths[:-1]))
            for array, lengths in ((sent, counts), (received, expected))
        )
        coming[self.rank][...] = leaving[self.rank]
        kind, others = _kind(sent), [rank for rank in range(self.ranks) if rank != self.rank]
        requests = [self._communicator.Irecv([coming[rank], kind], rank) for rank in others]
        requests += [self._communicator.Isend([leaving[rank], kind], rank) for rank in others]
        return Journey(requests, [*coming, *leaving]), received

    def _count(self, values: np.ndarray, own: int) -> None:
        """Count what will come from others of ``values``, of which so many are this rank's own."""
        self.received += (values.size - own) * values.itemsize

    def begin_gathering(self, values: np.ndarray, counts: Sequence[int]) -> Callable[[], bool]:
        """Begin to fill ``values``, of which this rank has its part, with those of all.

        Returns a call that tells whether all have come.
        """
        places, kind = np.cumsum([0, *counts]).tolist(), _kind(values)
        self._count(values, counts[self.rank])
        own = values[places[self.rank] : places[self.rank + 1]].copy()
        everything = [values, list(counts), places[:-1], kind]
        request = self._communicator.Iallgatherv([own, kind], everything)
        return Journey([request], [own, values]).has_ended

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all ranks, the same to the bit on each."""
        values = np.ascontiguousarray(values)
        if values.size > LONG and values.dtype == np.float32:
            return self._sum_in_parts(values)
        received = np.empty((self.ranks, *values.shape), values.dtype)
        self._count(received, values.size)
        request = self._communicator.Iallgather(values, received)
        self.wait(request.Test)
        total = received[0].copy()
        for part in received[1:]:
            total += part
        return total

    def _sum_in_parts(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of flat values, of which each rank adds up a part."""
        ends = [len(values) * rank // self.ranks for rank in range(self.ranks + 1)]
        counts = np.diff(ends).tolist()
        arrived, total = self.begin_sum_of_parts(values, counts), np.empty_like(values)
        found: list[np.ndarray] = []

        def added() -> bool:
            part = arrived([1.0] * self.ranks)
            found.extend([] if part is None else [part])
            return part is not None

        self.wait(added)
        total[ends[self.rank] : ends[self.rank + 1]] = found[0]
        self.wait(self.begin_gathering(total, counts))
        return total

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, of any type that pickles, in order."""
        own = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = self.sum(np.where(np.arange(self.ranks) == self.rank, len(own), 0))
        ends = np.cumsum(lengths)
        everything = np.empty(ends[-1], np.uint8)
        everything[ends[self.rank] - len(own) : ends[self.rank]] = own
        self.wait(self.begin_gathering(everything, lengths.tolist()))
        return [pickle.loads(part.tobytes()) for part in np.split(everything, ends[:-1])]

    def wait(self, done: Callable[[], Any]) -> None:
        """Return when ``done`` says yes."""
        start, polls = time.perf_counter(), 0
        while not done():
            polls += 1
            if polls > SPINS:
                time.sleep(SLEEP)
        self.seconds += time.perf_counter() - start


def _kind(values: np.ndarray) -> Any:
    from mpi4py import MPI

    return {"float32": MPI.FLOAT, "uint16": MPI.UINT16_T, "uint8": MPI.BYTE}[str(values.dtype)]
