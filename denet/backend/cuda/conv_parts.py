"""Sums over all pixels, computed in parts by many blocks and added in the order of the parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.tuning import MOST_BYTES, SMALLEST
from denet.graph.kernel import Call

FALSE = np.int32(0)

RESIDENT = 8  # blocks that a processor holds
LANES = 32  # channels of a block of sum_channels


class Parts:
    """``elements`` results in ``count`` parts, float32 sums each; added in the order of the parts.

    ``channels`` are those of a row of results, to each of which its bias is added.
    """

    def __init__(
        self, request: Request, scratch: Scratch, elements: int, count: int, channels: int = 1
    ):
        self._request, self.count, self._channels = request, count, channels
        self.elements = elements
        self._place = scratch.reserve(4 * elements * count if count > 1 else 0)

    def sums(self, result: Any, scratch: Any) -> Any:
        """Return where the parts belong: the result itself if there is one."""
        return scratch[self._place].view(np.float32) if self.count > 1 else result

    def add(
        self,
        result: Any,
        scratch: Any,
        element: str = "float",
        bias: Any = None,
        residual: Any = None,
        rectified: Any = FALSE,
    ) -> list[Call]:
        """Bind what adds the parts up: result = sum + bias + residual, then the ReLU."""
        if self.count == 1:
            return []
        arguments = [self.sums(result, scratch), np.int32(self.count), np.int64(self.elements)]
        arguments += [np.int32(self._channels), bias, residual, rectified, result]
        grid = blocks(self.elements)
        return [self._request.launch("conv_parts.cu", "sum_parts", grid, arguments, real=element)]


def part_size(request: Request, elements: int, pixels: int, work: int) -> int:
    """Return the pixels of a part, where one part alone is work for ``work`` blocks.

    As many parts as fill the device, within bounds of size and memory.
    """
    fill = blocks(RESIDENT * request.device.processors, work)
    most = min(pixels // SMALLEST, MOST_BYTES // (4 * elements))
    return blocks(pixels, max(1, min(fill, most)))


class ChannelSum:
    """result (c,) = the sum of an activation (n, h, w, c) over all pixels, in float32."""

    def __init__(self, request: Request, scratch: Scratch, shape: tuple[int, ...], element: str):
        self._request, self._element, self._channels = request, element, shape[3]
        self._count = int(np.prod(shape[:3], dtype=np.int64))
        self._columns = blocks(self._channels, LANES)
        self._pixels = part_size(request, self._channels, self._count, self._columns)
        self._parts = Parts(request, scratch, self._channels, blocks(self._count, self._pixels))

    def bind(self, x: Any, result: Any, scratch: Any) -> list[Call]:
        """Bind the sum of ``x``."""
        parts = self._parts
        sizes = [np.int64(self._count), np.int32(self._channels), np.int64(self._pixels)]
        arguments = [x, *sizes, parts.sums(result, scratch)]
        grid = (self._columns, parts.count, 1)
        launch = self._request.launch
        partial = launch("conv_parts.cu", "sum_channels", grid, arguments, real=self._element)
        return [partial, *parts.add(result, scratch)]
