"""Mean and variance of the channels of a map, from those of its parts: see statistics.cuh."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.batch_norm_tiles import Tiles
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.backend.cuda.scratch import Scratch
from denet.graph.kernel import Call
from denet.graph.tensor_type import TensorType

TOGETHER = 256  # parts that one block joins: few for each thread, and few launches
MERGED = 8  # channels of a block: as in statistics.cu


class Statistics:
    """Those of a map (n, h, w, c) of a C type, in parts of ``height`` pixels.

    Whoever writes the map tells those of the parts; where no height is given nobody does, and they
    come from a pass over it. Parts are joined to larger ones, always the same, until one is left.
    """

    def __init__(
        self,
        request: Request,
        scratch: Scratch,
        type_: TensorType,
        element: str,
        height: int | None = None,
    ):
        self._request, self._element = request, element
        tiles = Tiles.of(type_, element, request.device.processors)
        self._rows, self._channels = tiles.rows, tiles.channels
        self._pass = None if height else tiles
        height = height or tiles.height
        self._levels: list[tuple[int, int, slice]] = []  # height and number of parts, where
        while True:
            count = blocks(self._rows, height)
            self._levels.append((height, count, scratch.reserve(8 * count * self._channels)))
            if count <= TOGETHER:
                break
            height *= TOGETHER

    def parts(self, scratch: Any) -> list[Any] | None:
        """Return where the means of the smallest parts belong, less first rows, and the squares.

        None where a pass of its own tells them.
        """
        return None if self._pass else self._arrays(0, scratch)

    def join(self, x: Any, mean: Any, variance: Any, scratch: Any) -> list[Call]:
        """Bind what takes mean and variance of ``x`` from its parts."""
        calls = []
        if self._pass:
            arguments = [x, *self._arrays(0, scratch)]
            calls.append(self._pass.launch(self._request, "statistics", arguments, self._element))
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
