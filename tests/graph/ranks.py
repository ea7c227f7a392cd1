"""Ranks as threads of one process, and their sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np

TIMEOUT = 60  # seconds: a rank that makes an exchange too many ends the test


class Ranks:
    """A number of ranks; ``sums[r]`` is what rank r is given, ``exchanges`` counts the sums."""

    def __init__(self, count: int):
        self._barrier = Barrier(count)
        self._parts: list[Any] = [np.zeros(0)] * count
        self.sums = [self._sum_of(rank) for rank in range(count)]
        self.exchanges = 0
        self.members = [Member(self._traded, rank, count) for rank in range(count)]

    def run(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """Do the work of each rank at the same time; return what they return."""

        def work(rank: int) -> Any:
            try:
                return works[rank]()
            except BaseException:
                self._barrier.abort()
                raise

        with ThreadPoolExecutor(len(works)) as pool:
            return [*pool.map(work, range(len(works)))]

    def _sum_of(self, rank: int) -> Callable[[np.ndarray], np.ndarray]:
        def sum_over_ranks(part: np.ndarray) -> np.ndarray:
            self._parts[rank] = part
            self._barrier.wait(TIMEOUT)
            total: np.ndarray = np.sum(self._parts, axis=0)
            self.exchanges += rank == 0
            self._barrier.wait(TIMEOUT)
            return total

        return sum_over_ranks

    def _traded(self, rank: int, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        self._parts[rank] = [part.copy() for part in parts]
        self._barrier.wait(TIMEOUT)
        found = [each[rank] for each in self._parts]
        self._barrier.wait(TIMEOUT)
        return found


class Member:
    """One of these ranks, as the ops of split layers know it."""

    def __init__(
        self,
        traded: Callable[[int, Sequence[np.ndarray]], list[np.ndarray]] = lambda _, parts: [*parts],
        rank: int = 0,
        count: int = 1,
    ):
        self._traded = traded
        self.rank, self.count, self.share = rank, count, 1.0

    def trade(
        self, parts: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]
    ) -> list[np.ndarray]:
        found = self._traded(self.rank, parts)
        assert [part.shape for part in found] == [*shapes]
        return found
