"""The products of a convolution in float32 sums of any shape and element type."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.conv_geometry import Geometry
from denet.backend.cuda.conv_parts import Parts
from denet.backend.cuda.request import Request, blocks
from denet.backend.cuda.scratch import Scratch
from denet.graph.kernel import Call

FILE = "conv_exact.cu"
TILE = 64  # rows and columns of a block
RESIDENT = 2  # blocks that a processor holds


class ExactProducts:
    """The products (``products``: "correlate", "adjoint", "by_weight") of one node, one direction.

    Maps are read as they are, weights in float32.
    """

    name = "exact"

    def __init__(
        self,
        request: Request,
        geometry: Geometry,
        elements: dict[str, str],
        products: list[str],
        scratch: Scratch,
    ):
        self._request, self._geometry = request, geometry
        self._defines: dict[str, Any] = {
            f"{side}_real": element for side, element in elements.items()
        }
        self._width = geometry.window * geometry.large_channels
        tiles = blocks(geometry.small_channels, TILE) * blocks(self._width, TILE)
        if "by_weight" in products:
            work = tiles * geometry.groups
            pixels = geometry.small_pixels
            self._parts = Parts(request, scratch, geometry.weights, pixels, work, RESIDENT)
        self._tiles = tiles

    def prepare(self, arrays: dict[str, Any], scratch: Any) -> tuple[dict[str, Any], list[Call]]:
        """Return the arrays ("large", "small", "weight") as the products read them."""
        return arrays, []

    def rows(self, product: str) -> int:
        """Return how many pixels of the target a block of "correlate" or "adjoint" computes."""
        return TILE

    def gather(
        self,
        product: str,
        source: Any,
        weight: Any,
        target: Any,
        bias: Any = None,
        residual: Any = None,
        rectified: bool = False,
        parts: list[Any] | None = None,
    ) -> Call:
        """Bind "correlate" or "adjoint": target = product + bias + residual, then the ReLU.

        ``parts``, of "correlate" without the last two: where Statistics of the target wants them.
        """
        phases, pixels, channels = self._geometry.target(product == "adjoint")
        tiles = blocks(pixels, TILE) * blocks(channels, TILE)
        arguments = [source, weight, bias, residual, np.int32(rectified), target]
        if parts:
            assert product == "correlate" and residual is None and not rectified
            product, arguments = "correlate_statistics", [source, weight, bias, target, *parts]
        return self._launch(product, (tiles, 1, phases * self._geometry.groups), arguments)

    def by_weight(self, large: Any, small: Any, gradient: Any, scratch: Any) -> list[Call]:
        """Bind the gradient of the weights."""
        parts = self._parts
        grid = self._tiles, 1, parts.count * self._geometry.groups
        arguments = [large, small, np.int32(parts.pixels), parts.sums(gradient, scratch)]
        return [self._launch("by_weight", grid, arguments), *parts.add(gradient, scratch)]

    def _launch(self, name: str, grid: tuple[int, int, int], arguments: list[Any]) -> Call:
        given = [*self._geometry.arguments, *arguments]
        return self._request.launch(FILE, name, grid, given, **self._defines, real="float")
