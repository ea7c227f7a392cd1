"""A backend that hands out memory between guards: what a kernel writes beyond its arrays shows.

A plan packs its arrays into one arena, where an overrun lands in a neighbour and only now and then
changes a result. What it reads there is NaN, which shows in what it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from denet.graph.kernel import Backend, Call, Kernel, Memory

GUARD = 1 << 19  # bytes on each side
MARKS = np.tile(np.array([0xA5, 0x7F], np.uint8), GUARD // 2)  # NaN as float32 and as bf16


class GuardedMemory:
    """Another memory, whose every piece lies between guards of its own."""

    def __init__(self, memory: Memory):
        self._memory = memory
        self._guards: list[tuple[int, Any, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)

    def allocate(self, nbytes: int) -> Any:
        memory = self._memory.allocate(2 * GUARD + nbytes)
        before, behind = memory[:GUARD], memory[GUARD + nbytes :]
        for guard in (before, behind):
            self._memory.write(MARKS, guard)
        self._guards.append((nbytes, before, behind))
        return memory[GUARD : GUARD + nbytes]

    def overruns(self) -> list[str]:
        """Return a line for each piece beyond which something was written."""
        lines = []
        for nbytes, *guards in self._guards:
            early, late = (np.flatnonzero(self._memory.read(each) != MARKS) for each in guards)
            if early.size:
                lines.append(f"memory of {nbytes} bytes: written {GUARD - early[0]} before it")
            if late.size:
                lines.append(f"memory of {nbytes} bytes: written {late[-1] + 1} behind it")
        return lines


class GuardedBackend:
    """Another backend's kernels, on guarded memory for every array and scratch."""

    name = "guarded"
    working_share = 0.0

    def __init__(self, backend: Backend):
        self._backend = backend
        self.shares_statistics = backend.shares_statistics
        self.memory = GuardedMemory(backend.memory)

    def kernel(self, *arguments: Any) -> Kernel:
        return self._backend.kernel(*arguments)

    def sequence(self, calls: Sequence[Call]) -> Call:
        return self._backend.sequence(calls)

    def auto_precision(self) -> str:
        return self._backend.auto_precision()
