"""Sums over all pixels, computed in parts by many blocks and added in the order of the parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.request import Request, blocks
from denet.backend.cuda.scratch import Scratch
from denet.graph.kernel import Call

SMALLEST = 128  # pixels of a part
MOST_BYTES = 1 << 26  # of all parts
RESIDENT = 8  # blocks of sum_channels that a processor holds
LANES = 32  # channels of a block of sum_channels


class Parts:
    """``elements`` float32 sums over ``pixels``, where one part alone is work for ``work`` blocks.

    As many parts as fill the device, a processor of which holds ``resident`` blocks, within bounds
    of size and memory. Nothing else decides, so that every run has the same result.
    """

    def __init__(
        self,
        request: Request,
        scratch: Scratch,
        elements: int,
        pixels: int,
        work: int,
        resident: int,
    ):
        self._request, self._elements = request, elements
        fill = blocks(resident * request.device.processors, work)
        most = min(blocks(pixels, SMALLEST), MOST_BYTES // (4 * elements))
        self.pixels = blocks(pixels, max(1, min(fill, most)))
        self.count = blocks(pixels, self.pixels)
        self._place = scratch.reserve(4 * elements * self.count if self.count > 1 else 0)

    def sums(self, result: Any, scratch: Any) -> Any:
        """Return where the parts belong: the result itself if there is one."""
        return scratch[self._place].view(np.float32) if self.count > 1 else result

    def add(self, result: Any, scratch: Any) -> list[Call]:
        """Bind what adds the parts up."""
        if self.count == 1:
            return []
        arguments = [self.sums(result, scratch), np.int32(self.count), np.int64(self._elements)]
        grid = blocks(self._elements)
        launch = self._request.launch
        return [launch("conv_parts.cu", "sum_parts", grid, [*arguments, result], real="float")]


class ChannelSum:
    """result (c,) = the sum of an activation (n, h, w, c) over all pixels, in float32."""

    def __init__(self, request: Request, scratch: Scratch, shape: tuple[int, ...], element: str):
        self._request, self._element, self._channels = request, element, shape[3]
        self._count = int(np.prod(shape[:3], dtype=np.int64))
        self._columns = blocks(self._channels, LANES)
        sizes = self._channels, self._count, self._columns
        self._parts = Parts(request, scratch, *sizes, RESIDENT)

    def bind(self, x: Any, result: Any, scratch: Any) -> list[Call]:
        """Bind the sum of ``x``."""
        parts = self._parts
        sizes = [np.int64(self._count), np.int32(self._channels), np.int64(parts.pixels)]
        arguments = [x, *sizes, parts.sums(result, scratch)]
        grid = (self._columns, parts.count, 1)
        launch = self._request.launch
        partial = launch("conv_parts.cu", "sum_channels", grid, arguments, real=self._element)
        return [partial, *parts.add(result, scratch)]
