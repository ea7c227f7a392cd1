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
        self._parts: list[np.ndarray] = [np.zeros(0)] * count
        self.sums = [self._sum_of(rank) for rank in range(count)]
        self.exchanges = 0

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
