"""Mean and variance of the channels of a map, from those of its parts: see statistics.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.request import Request, blocks
from denet.backend.cuda.scratch import Scratch
from denet.graph.kernel import Call

TOGETHER = 256  # parts that one block joins: few for each thread, and few launches
MERGED = 8  # channels of a block: as in statistics.cu


class Statistics:
    """Those of ``rows`` by ``channels`` numbers of a C type, in parts of ``height`` rows.

    Parts are joined to larger ones, always the same, until one is left.
    """

    def __init__(
        self,
        request: Request,
        scratch: Scratch,
        rows: int,
        channels: int,
        height: int,
        element: str,
    ):
        self._request, self._element = request, element
        self._rows, self._channels = rows, channels
        self._levels: list[tuple[int, int, slice]] = []  # height and number of parts, where
        while True:
            count = blocks(rows, height)
            self._levels.append((height, count, scratch.reserve(8 * count * channels)))
            if count <= TOGETHER:
                break
            height *= TOGETHER

    def parts(self, scratch: Any) -> list[Any]:
        """Return where the means of the smallest parts belong, less first rows, and the squares."""
        return self._arrays(0, scratch)

    def join(self, x: Any, mean: Any, variance: Any, scratch: Any) -> list[Call]:
        """Bind what takes mean and variance of ``x`` from its parts."""
        calls = []
        for level, (height, count, _) in enumerate(self._levels):
            larger = blocks(count, TOGETHER)
            to = self._arrays(level + 1, scratch) if larger > 1 else [mean, variance]
            sizes = self._rows, self._channels, height, count, TOGETHER, larger == 1
            arguments = [x, *self._arrays(level, scratch), *to, *map(np.int32, sizes)]
            grid = blocks(self._channels, MERGED), larger, 1
            launch = self._request.launch
            calls.append(
                launch("statistics.cu", "join_statistics", grid, arguments, real=self._element)
            )
        return calls

    def _arrays(self, level: int, scratch: Any) -> list[Any]:
        _, count, place = self._levels[level]
        return [*scratch[place].view(np.float32).reshape(2, count * self._channels)]
