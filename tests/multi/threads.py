"""Ranks as threads of one process, and what they send each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import Any

import numpy as np

from denet.bfloat16 import from_float32, to_float32
from denet.multi.wire import Wire


class Lost(Exception):
    """Another rank has failed, and does not come any more."""


class News(Condition):
    """What ranks wait for: ``tell`` when something has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.lost = False

    def __enter__(self) -> News:  # type: ignore[override]
        super().__enter__()
        return self

    def tell(self) -> None:
        """Wake those that wait."""
        with self:
            self.count += 1
            self.notify_all()


class Board:
    """What each rank has sent, by number of the call."""

    def __init__(self, ranks: int):
        self.ranks, self.news = ranks, News()
        self.sent: dict[int, dict[int, Any]] = defaultdict(dict)

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """Do the work of each rank at the same time; return what they return."""

        def guarded(rank: int) -> Any:
            try:
                return work(rank)
            except BaseException:
                self.news.lost = True
                self.news.tell()
                raise

        with ThreadPoolExecutor(self.ranks) as pool:
            futures = [pool.submit(guarded, rank) for rank in range(self.ranks)]
            errors = [future.exception() for future in futures]
        for error in sorted(filter(None, errors), key=lambda each: isinstance(each, Lost)):
            raise error  # of the rank that failed first, if there is one
        return [future.result() for future in futures]


class ThreadWire(Wire):
    """A wire between threads; ``idle`` is what a rank does while it waits."""

    def __init__(self, board: Board, rank: int, idle: Callable[[], object] = lambda: None):
        self.rank, self.ranks = rank, board.ranks
        self._board, self._idle, self._calls = board, idle, 0
        self.seconds = 0.0

    def begin_sum_of_parts(
        self, values: np.ndarray, counts: Sequence[int], as_bf16: bool = False
    ) -> Callable[[Sequence[float]], np.ndarray | None]:
        """Send a copy; the sum is made in order of the ranks."""
        arrived = self._post(to_float32(from_float32(values)) if as_bf16 else values.copy())
        start = sum(counts[: self.rank])

        def result(weights: Sequence[float]) -> np.ndarray | None:
            everyone = arrived()
            if everyone is None:
                return None
            total = np.zeros(counts[self.rank], np.float32)
            for weight, whole in zip(weights, everyone, strict=True):
                total += np.float32(weight) * whole[start : start + counts[self.rank]]
            return total

        return result

    def begin_gathering(self, values: np.ndarray, counts: Sequence[int]) -> Callable[[], bool]:
        """Send a copy of the own part."""
        ends = np.cumsum([0, *counts]).tolist()
        places = [slice(*ends[rank : rank + 2]) for rank in range(self.ranks)]
        arrived = self._post(values[places[self.rank]].copy())

        def done() -> bool:
            everyone = arrived()
            for place, part in zip(places, everyone or (), strict=everyone is not None):
                values[place] = part
            return everyone is not None

        return done

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Add in order of the ranks."""
        everyone = self._all(values.copy())
        total = everyone[0].copy()
        for part in everyone[1:]:
            total += part
        return total

    def gather(self, value: Any) -> list[Any]:
        """Return the values themselves."""
        return self._all(value)

    def _all(self, value: Any) -> list[Any]:
        arrived = self._post(value)
        while (everyone := arrived()) is None:
            with self._board.news as news:
                news.wait(0.01)
        return everyone

    def _post(self, value: Any) -> Callable[[], list[Any] | None]:
        """Send a value; return a call that returns those of all, None until they are there."""
        call, board = self._calls, self._board
        self._calls += 1
        board.sent[call][self.rank] = value
        board.news.tell()

        def arrived() -> list[Any] | None:
            if len(board.sent[call]) < self.ranks:
                if board.news.lost:
                    raise Lost
                self._idle()
                return None
            return [board.sent[call][rank] for rank in range(self.ranks)]

        return arrived
