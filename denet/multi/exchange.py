"""Gradients summed over ranks while backward goes on, and weights handed out behind an update."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, starmap
from typing import Any, NamedTuple, Protocol

import numpy as np

from denet.graph.kernel import Memory
from denet.multi.wire import Wire

BUCKET = 1 << 20  # elements that travel together: 4 MB, which is fast and leaves early
MOST_FLYING = 8  # buckets on their way, each of which takes its bytes twice
PIECE = 16  # elements: pieces begin on a cache line


class Bucket(NamedTuple):
    """A part of flat arrays, and how many of its elements each rank updates, in order.

    These are pieces of one size, until nothing is left.
    """

    part: slice
    counts: list[int]

    @property
    def piece(self) -> int:
        """Elements of a piece, some of which may lie behind the end of the part."""
        return _piece(self.part, len(self.counts))

    def own(self, rank: int) -> slice:
        """Return the elements that a rank updates."""
        start = self.part.start + sum(self.counts[:rank])
        return slice(start, start + self.counts[rank])


def buckets(size: int, decay_size: int, ranks: int, apart: Sequence[slice] = ()) -> list[Bucket]:
    """Cut flat arrays of ``size`` elements, whose weights come first, for so many ranks.

    Biases and scales, of all layers, go apart from weights: backward ends with these. Each rank has
    some ``apart`` of its own: what lies between them is the same on all.
    """
    ends = sorted(
        {0, decay_size, size, *(end for each in apart for end in (each.start, each.stop))}
    )
    runs = [run for run in starmap(slice, pairwise(ends)) if run not in apart]
    return [_bucket(part, ranks) for run in runs for part in _parts(run)]


def _parts(run: slice) -> Iterator[slice]:
    """Yield parts of BUCKET elements; backward begins with the last and ends with the short one."""
    short = (run.stop - run.start) % BUCKET
    begin = run.start + PIECE * -(-short // PIECE)  # on a cache line too
    ends = sorted({run.start, *range(begin, run.stop, BUCKET), run.stop})
    return starmap(slice, pairwise(ends))


def _bucket(part: slice, ranks: int) -> Bucket:
    piece = _piece(part, ranks)
    ends = [min(part.start + piece * rank, part.stop) for rank in range(ranks)]
    return Bucket(part, np.diff([*ends, part.stop]).tolist())


def _piece(part: slice, ranks: int) -> int:
    return PIECE * -(-(part.stop - part.start) // (PIECE * ranks))


class Exchange(Protocol):
    """Exchanges the buckets of flat arrays in the memory of a backend, all ranks in one order."""

    weights: Sequence[float]  # of the ranks, in sums

    @property
    def seconds(self) -> float:
        """How long a device waited for what was on its way, so far; the wire tells of the host."""
        ...

    def send(self, number: int, gradients: Any) -> None:
        """Begin to sum a bucket of the gradients, which nobody changes until ``finish``."""
        ...

    def finish(self) -> None:
        """Let what follows see this rank's part of the gradients as the sum over all ranks."""
        ...

    def join(self, faults: Any, states: Any, weight: float) -> None:
        """Bring together what was not finite, and the running averages, which count ``weight``."""
        ...

    def hand_out(self, values: Any) -> None:
        """Fill flat values, of which each rank has its part, with those of all."""
        ...


class HostExchange:
    """Exchanges by way of the host's memory, where MPI takes and leaves what travels."""

    seconds = 0.0

    def __init__(self, wire: Wire, memory: Memory, cut: Sequence[Bucket], as_bf16: bool):
        self._wire, self._memory, self._cut, self._as_bf16 = wire, memory, cut, as_bf16
        self._flying: deque[tuple[Bucket, Any, Callable[..., np.ndarray | None]]] = deque()
        self.weights: Sequence[float] = ()

    def send(self, number: int, gradients: Any) -> None:
        """Begin to sum a bucket of the gradients, which nobody changes until ``finish``."""
        bucket = self._cut[number]
        host = np.ascontiguousarray(self._memory.read(gradients[bucket.part]))
        arrived = self._wire.begin_sum_of_parts(host, bucket.counts, self._as_bf16)
        self._flying.append((bucket, gradients, arrived))
        if not self._landed(MOST_FLYING):
            self._wire.wait(lambda: self._landed(MOST_FLYING))

    def finish(self) -> None:
        """Return when this rank's part of the gradients is the weighted sum over all ranks."""
        self._wire.wait(lambda: self._landed(0))

    def join(self, faults: Any, states: Any, weight: float) -> None:
        """Bring together what was not finite, and the running averages."""
        memory = self._memory
        found = memory.read(faults).astype(np.float32)
        total = self._wire.sum(np.concatenate([found, memory.read(states) * np.float32(weight)]))
        memory.write((total[:2] > 0).astype(np.int32), faults)
        memory.write(total[2:], states)

    def hand_out(self, values: Any) -> None:
        """Fill flat values, of which each rank has its part, with those of all."""
        pending = []
        for bucket in self._cut:
            host = np.ascontiguousarray(self._memory.read(values[bucket.part]))
            pending.append((bucket, host, self._wire.begin_gathering(host, bucket.counts)))
        for bucket, host, arrived in pending:
            self._wire.wait(arrived)
            self._memory.write(host, values[bucket.part])

    def _landed(self, most: int) -> bool:
        """Take what has arrived; return whether no more buckets are on their way."""
        while self._flying:
            bucket, gradients, arrived = self._flying[0]
            total = arrived(self.weights)
            if total is None:
                break
            self._memory.write(total, gradients[bucket.own(self._wire.rank)])
            self._flying.popleft()
        return len(self._flying) <= most
