"""Memory of the host, and what is done to whole arrays of it by several threads.

An update is bound by memory, so the arrays are walked in chunks that stay in cache through all
operations of the rule, by several threads (NumPy lets go of the interpreter lock). No element
depends on another (but for clipping, whose norm is summed in a fixed order), so the number of
threads never changes a result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from denet.cores import core_count
from denet.graph.kernel import Total
from denet.graph.rule import Chunk, Rule, Span

CHUNK = 1 << 17  # elements: four arrays of it about fill a level 2 cache, and calls stay few
MOST_THREADS = 8  # beyond these an update is bound by memory, not by cores


class HostMemory:
    """NumPy arrays; updates use ``threads`` threads, for None as many as there are cores."""

    def __init__(self, threads: int | None = None):
        self.feed = None
        self._threads = threads or min(core_count(), MOST_THREADS)

    def lane(self) -> None:
        """None: no GPU."""

    def allocate(self, nbytes: int) -> np.ndarray:
        """Return ``nbytes`` of 64-byte aligned zeroed memory as a uint8 array."""
        return aligned_zeros(nbytes)

    def write(self, host: Any, memory: np.ndarray) -> None:
        """Copy a host array to memory of its shape."""
        assert isinstance(host, np.ndarray), host
        np.copyto(memory, host)

    def read(self, memory: np.ndarray) -> np.ndarray:
        """Return the memory itself."""
        return memory

    def read_later(self, arrays: Sequence[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """Return a call that returns copies of what the arrays hold now."""
        copies = [array.copy() for array in arrays]
        return lambda: copies

    def clear(self, memory: np.ndarray) -> None:
        """Fill an array with zeros."""
        memory.fill(0)

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy an array to another."""
        np.copyto(target, source)

    def free_bytes(self) -> int | None:
        """None: it is the host's memory."""
        return None

    def wait(self) -> None:
        """Nothing is ever pending."""

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Make these calls; return what each took."""
        times = [time.perf_counter()]
        for call in calls:
            call()
            times.append(time.perf_counter())
        return [after - before for before, after in pairwise(times)]

    def running_average(
        self, states: np.ndarray, values: np.ndarray, keep: np.ndarray, take: np.ndarray
    ) -> None:
        """states = keep * states + take * values, in place."""
        states *= keep
        states += take * values

    def add(self, total: np.ndarray, values: np.ndarray, share: float) -> None:
        """total += share * values, in place; ``values`` are multiplied too."""
        values *= share
        total += values

    def blend(self, average: np.ndarray, values: np.ndarray, share: float) -> None:
        """Move ``average`` towards ``values`` in place; what does not change stays so."""
        blend(average, values, share, np.empty_like(values))

    def mark_not_finite(self, values: np.ndarray, mark: np.ndarray) -> None:
        """mark[0] = 1 where a number is not finite."""
        if not np.isfinite(values).all():
            mark[0] = 1

    def updater(
        self, rule: Rule, spans: Sequence[Span], clip: float, total: Total | None = None
    ) -> HostUpdater:
        """Return what applies a rule to whole arrays."""
        return HostUpdater(rule, spans, clip, self._threads, total)


class HostUpdater:
    """A rule at work on NumPy arrays; see ``Updater`` in graph/kernel.py."""

    def __init__(
        self,
        rule: Rule,
        spans: Sequence[Span],
        clip: float,
        threads: int,
        total: Total | None = None,
    ):
        self._rule, self._clip, self._spans, self._total = rule, clip, spans, total
        chunks = [(part, span) for span in spans for part in _chunks(span.start, span.stop)]
        threads = max(1, min(threads, len(chunks)))
        self._shares = [chunks[first::threads] for first in range(threads)]
        self._scratch = np.zeros((threads, rule.scratch_num, CHUNK), np.float32)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __call__(
        self,
        weights: np.ndarray,
        gradients: np.ndarray,
        averages: Sequence[np.ndarray],
        learn_rate: float,
        iteration: int,
        mean: np.ndarray | None,
        share: float,
        faults: np.ndarray,
    ) -> None:
        if faults[0]:
            return
        scale = self._clip_scale(gradients)

        def work(thread: int) -> bool:
            finite = True
            # a diverging run is reported by what this returns, not by warnings from here
            with np.errstate(all="ignore"):
                for part, span in self._shares[thread]:
                    p, g = weights[part], gradients[part]
                    if scale != 1:
                        g *= scale
                    scratch = self._scratch[thread, :, : p.size]
                    place = part.start - span.start + span.place
                    kept = slice(place, place + p.size)
                    parts = [average[kept] for average in averages]
                    rate = span.rate * learn_rate
                    chunk = Chunk(p, g, parts, scratch, span.decay, rate, span.momentum, iteration)
                    self._rule.step(chunk)
                    # the chunk is in cache still
                    finite &= math.isfinite(p.sum())
                    if mean is not None:
                        blend(mean[kept], p, share, scratch[0])
            return finite

        finite = [*(self._pool.map if self._pool else map)(work, range(len(self._shares)))]
        faults[1] |= not all(finite)

    def _clip_scale(self, gradients: np.ndarray) -> float:
        """Return the factor that brings the gradient's Euclidean norm down to ``clip``."""
        if not self._clip:
            return 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            squares = [
                float(np.einsum("i,i->", gradients[part], gradients[part]))
                for span in self._spans
                for part in _chunks(span.start, span.stop)
            ]
        total = math.fsum(squares) if all(map(math.isfinite, squares)) else math.inf
        if self._total:
            total = self._total(total)
        norm = math.sqrt(total) if math.isfinite(total) else 0.0
        return self._clip / norm if norm > self._clip else 1.0


def aligned_zeros(nbytes: int) -> np.ndarray:
    """Return a zeroed uint8 array whose first byte lies on a 64-byte boundary."""
    memory = np.zeros(nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes]


def blend(average: np.ndarray, values: np.ndarray, share: float, scratch: np.ndarray) -> None:
    """Move ``average`` towards ``values`` in place; what does not change stays so to the bit."""
    np.subtract(values, average, out=scratch)
    scratch *= share
    average += scratch


def _chunks(start: int, stop: int) -> list[slice]:
    return [slice(low, min(low + CHUNK, stop)) for low in range(start, stop, CHUNK)]
