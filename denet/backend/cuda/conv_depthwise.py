"""The products of a convolution with a channel per group, which bytes bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from denet.backend.cuda.conv_geometry import Geometry
from denet.backend.cuda.conv_parts import Parts, part_size
from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import VECTOR_BYTES, Request
from denet.backend.cuda.scratch import Scratch
from denet.graph.kernel import Call

FILE = "conv_depthwise.cu"
PIXELS = 4  # of a thread that gathers
TAPS = 4  # of a thread that sums by weight
MOST_COLUMNS = 32  # threads side by side over the channels


def is_depthwise(geometry: Geometry) -> bool:
    """Say whether every group has one channel in each map."""
    alone = geometry.large_channels == geometry.small_channels == 1
    return alone and geometry.groups > 1


class DepthwiseProducts:
    """As ``Products`` (conv_products.py); weights are float32 in the order DEPTHWISE."""

    name = "depthwise"
    measured_rows: ClassVar[int | None] = None  # the pixels of a block are of too many rows

    def __init__(
        self,
        request: Request,
        geometry: Geometry,
        elements: dict[str, str],
        products: Sequence[str],
        scratch: Scratch,
    ):
        channels = geometry.groups
        one_group = {"groups": 1, "large_channels": channels, "small_channels": channels}
        self._request, self._geometry = request, replace(geometry, **one_group)
        reals = {f"{side}_real": elements[side] for side in ("large", "small")}
        vector = VECTOR_BYTES // (2 if "bf16" in reals.values() else 4)
        width = 1 if channels % vector else vector
        self._vectors = channels // width
        self._defines: dict[str, Any] = {**reals, "CHANNELS": width, "real": "float"}
        across = blocks(self._vectors, MOST_COLUMNS)
        self._columns = blocks(self._vectors, across)
        self._across = across * geometry.window_height * blocks(geometry.window_width, TAPS)
        if "by_weight" in products:
            weights, pixels = geometry.weights, geometry.small_pixels
            self._part = part_size(request, weights, pixels, self._across)
            self._parts = Parts(request, scratch, weights, blocks(pixels, self._part))

    def prepare(self, arrays: dict[str, Any], scratch: Any) -> tuple[dict[str, Any], list[Call]]:
        """Return the arrays as they are."""
        return arrays, []

    def gather(
        self,
        name: str,
        source: Any,
        weight: Any,
        target: Any,
        scratch: Any,
        bias: Any = None,
        residual: Any = None,
        rectified: bool = False,
    ) -> list[Call]:
        """Bind "correlate" or "adjoint": target = product + bias + residual, then the ReLU."""
        phases, rows, columns = self._geometry.cells(name == "adjoint")
        threads = self._geometry.images * rows * blocks(columns, PIXELS) * self._vectors
        arguments = [source, weight, bias, residual, np.int32(rectified), target]
        return [self._launch(name, (blocks(threads, THREADS), 1, phases), arguments)]

    def by_weight(self, large: Any, small: Any, gradient: Any, scratch: Any) -> list[Call]:
        """Bind the gradient of the weights."""
        sizes = np.int32(self._columns), np.int32(self._part)
        arguments = [large, small, *sizes, self._parts.sums(gradient, scratch)]
        grid = self._across, self._parts.count, 1
        return [self._launch("by_weight", grid, arguments), *self._parts.add(gradient, scratch)]

    def _launch(self, name: str, grid: tuple[int, int, int], arguments: list[Any]) -> Call:
        given = [*self._geometry.arguments, *arguments]
        return self._request.launch(FILE, name, grid, given, **self._defines)
