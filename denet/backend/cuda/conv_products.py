"""What the ways to compute the products of a convolution share: variants, parts, launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from denet.backend.cuda.conv_geometry import Geometry
from denet.backend.cuda.conv_parts import Parts
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.tuning import Product, Tile, Variant
from denet.graph.kernel import Call

TARGETS = {"correlate": "small", "adjoint": "large"}  # the map that a product gathers


class Chosen(NamedTuple):
    """How a product is computed."""

    product: Product
    variant: Variant
    parts: Parts


class Products:
    """The products (``products``: "correlate", "adjoint", "by_weight") of one node, one direction.

    ``elements`` names the C types of "large", "small" and "weight".
    """

    name: ClassVar[str]

    def __init__(
        self,
        request: Request,
        geometry: Geometry,
        elements: dict[str, str],
        products: Sequence[str],
        scratch: Scratch,
    ):
        self._request, self._geometry, self._elements = request, geometry, elements
        self._chosen = {name: self._choose(name, scratch) for name in products}

    def prepare(self, arrays: dict[str, Any], scratch: Any) -> tuple[dict[str, Any], list[Call]]:
        """Return the arrays ("large", "small", "weight") as the products read them."""
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
        _, variant, parts = self._chosen[name]
        element, sums = self._elements[TARGETS[name]], parts.sums(target, scratch)
        last = [bias, residual, np.int32(rectified)]
        whole = variant.parts == 1
        behind = last if whole else [None, None, np.int32(0)]
        pieces = [np.int32(variant.length // variant.tile.slice), np.int64(parts.elements)]
        arguments = [source, weight, *behind, sums, *pieces]
        product = self._launch(name, arguments, element if whole else "float")
        return [product, *parts.add(target, scratch, element, *last)]

    @property
    def measured_rows(self) -> int | None:
        """Pixels of the small map whose statistics a block of ``measure`` tells.

        None where there is no such product: no block has the whole depth.
        """
        variant = self._chosen["correlate"].variant
        return variant.tile.rows if variant.parts == 1 else None

    def measure(self, source: Any, weight: Any, target: Any, bias: Any, parts: list[Any]) -> Call:
        """Bind "correlate": target = product + bias, and the statistics of its parts."""
        arguments = [source, weight, bias, target, *parts]
        return self._launch("correlate", arguments, self._elements["small"], measured=True)

    def by_weight(self, large: Any, small: Any, gradient: Any, scratch: Any) -> list[Call]:
        """Bind the gradient of the weights."""
        _, variant, parts = self._chosen["by_weight"]
        arguments = [large, small, np.int32(variant.length), parts.sums(gradient, scratch)]
        product = self._launch("by_weight", arguments, "float")
        return [product, *parts.add(gradient, scratch)]

    def _choose(self, name: str, scratch: Scratch) -> Chosen:
        geometry = self._geometry
        groups, adjoint = geometry.groups, name == "adjoint"
        if name == "by_weight":
            columns = geometry.window * self._stored(geometry.large_channels)
            rows, depth, times = geometry.small_channels, geometry.small_pixels, groups
            elements = geometry.weights
        else:
            phases, rows, columns = geometry.target(adjoint)
            depth = geometry.taps(adjoint) * self._stored(geometry.source_channels(adjoint))
            times, elements = phases * groups, geometry.elements(adjoint)
        key = " ".join([name, self.name, *self._elements.values(), geometry.text])
        product = Product(key, rows, columns, depth, times, elements)
        variant = self._request.tuning.choose(product, self._tiles())
        channels = columns * groups
        parts = Parts(self._request, scratch, elements, variant.parts, channels)
        return Chosen(product, variant, parts)

    def _grid(self, name: str) -> tuple[int, int, int]:
        product, variant, _ = self._chosen[name]
        tile = variant.tile
        tiles = blocks(product.rows, tile.rows) * blocks(product.columns, tile.columns)
        return tiles, 1, variant.parts * product.times

    def _stored(self, channels: int) -> int:
        """Return how many channels of a group there are as the products read them."""
        return channels

    def _tiles(self) -> Sequence[Tile]:
        raise AssertionError("abstract")

    def _launch(self, name: str, arguments: list[Any], target: str, measured: bool = False) -> Call:
        """Bind the kernel of a product whose results are of the C type ``target``."""
        raise AssertionError("abstract")
