"""A backend that hands out memory between guards: what a kernel writes beyond its arrays shows.

A plan packs its arrays into one arena, where an overrun lands in a neighbour and only now and then
changes a result.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.numpy.backend import aligned_zeros
from denet.graph.kernel import Backend, Kernel

GUARD = 1 << 19  # bytes on each side
MARK = 0xA5


class GuardedBackend:
    """Another backend's kernels, on memory of its own for every array and scratch."""

    name = "guarded"
    working_share = 0.0

    def __init__(self, backend: Backend):
        self._backend = backend
        self._guards: list[tuple[int, np.ndarray, np.ndarray]] = []

    def kernel(self, *arguments: Any) -> Kernel:
        return self._backend.kernel(*arguments)

    def allocate(self, nbytes: int) -> np.ndarray:
        memory = aligned_zeros(2 * GUARD + nbytes)
        before, behind = memory[:GUARD], memory[GUARD + nbytes :]
        before.fill(MARK)
        behind.fill(MARK)
        self._guards.append((nbytes, before, behind))
        return memory[GUARD : GUARD + nbytes]

    def auto_precision(self) -> str:
        return self._backend.auto_precision()

    def overruns(self) -> list[str]:
        """Return a line for each memory beyond which something was written."""
        lines = []
        for nbytes, before, behind in self._guards:
            early, late = np.flatnonzero(before != MARK), np.flatnonzero(behind != MARK)
            if early.size:
                lines.append(f"memory of {nbytes} bytes: written {GUARD - early[0]} before it")
            if late.size:
                lines.append(f"memory of {nbytes} bytes: written {late[-1] + 1} behind it")
        return lines
