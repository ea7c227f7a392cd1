"""The clock of a device that is not there: what was launched is what took time, and how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from denet.backend.cuda.device import Grid

MICROSECOND = 1e-6


class Clock:
    """Every thread of a launch takes a microsecond, whatever it does; so times repeat."""

    def __init__(self) -> None:
        self._threads = 0

    def spend(self, grid: Grid, threads: int) -> None:
        """Let the time of a launch pass."""
        self._threads += prod(grid) * threads

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Make these calls; return what each took."""
        found = []
        for call in calls:
            start = self._threads
            call()
            found.append((self._threads - start) * MICROSECOND)
        return found
