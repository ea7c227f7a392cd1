"""The products of a convolution on tensor cores: bf16 maps and weights, float32 sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from denet.backend.cuda.conv_geometry import Geometry
from denet.backend.cuda.conv_products import Products
from denet.backend.cuda.conv_tile import Tile, served
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.weight import CHUNK, filled
from denet.graph.kernel import Call

READS = {
    "correlate": ("large", "weight"),
    "adjoint": ("small", "weight"),
    "by_weight": ("large", "small"),
}


def on_tensor_cores(request: Request, geometry: Geometry) -> bool:
    """Say whether tensor cores serve: bf16 maps, channels of groups in whole chunks."""
    whole = geometry.large_channels % CHUNK == geometry.small_channels % CHUNK == 0
    bf16 = request.precision == "bf16" and request.type().dtype == "real"
    return bf16 and request.device.capability >= 80 and (geometry.groups == 1 or whole)


class TensorProducts(Products):
    """They read maps and weights as bf16 in whole chunks; what lies otherwise is copied first."""

    name = "tensor cores"

    def __init__(
        self,
        request: Request,
        geometry: Geometry,
        elements: dict[str, str],
        products: Sequence[str],
        scratch: Scratch,
    ):
        super().__init__(request, geometry, elements, products, scratch)
        shapes = {
            "large": (geometry.large_pixels, geometry.large_channels * geometry.groups),
            "small": (geometry.small_pixels, geometry.small_channels * geometry.groups),
            "weight": (geometry.weights // geometry.large_channels, geometry.large_channels),
        }
        if elements["weight"] == "bf16":
            del shapes["weight"]  # the layout has filled them up
        self._copies = {
            name: Packed(request, rows, channels, elements[name], scratch)
            for name, (rows, channels) in shapes.items()
            if any(name in READS[product] for product in products)
            and (elements[name] == "float" or channels % CHUNK)
        }

    def prepare(self, arrays: dict[str, Any], scratch: Any) -> tuple[dict[str, Any], list[Call]]:
        """Return the arrays ("large", "small", "weight") as the products read them."""
        copies = {name: copy.array(scratch) for name, copy in self._copies.items()}
        calls = [copy.bind(arrays[name], scratch) for name, copy in self._copies.items()]
        return {**arrays, **copies}, calls

    def _stored(self, channels: int) -> int:
        return filled(channels)

    def _tiles(self) -> list[Tile]:
        return served(self._request.device.capability)

    def _launch(self, name: str, arguments: list[Any], target: str, measured: bool = False) -> Call:
        tile = self._chosen[name].variant.tile
        assert isinstance(tile, Tile)
        options: dict[str, Any] = {**tile.defines, "threads": tile.threads, "shared": tile.shared}
        file = "conv_tensor_weight.cu"
        if name != "by_weight":
            file, options["target_real"] = "conv_tensor.cu", target
        given = [*self._geometry.arguments, *arguments]
        kernel = name + "_statistics" * measured
        return self._request.launch(file, kernel, self._grid(name), given, **options)


class Packed:
    """A copy in scratch memory of rows of channels: bf16, in whole chunks."""

    def __init__(self, request: Request, rows: int, channels: int, element: str, scratch: Scratch):
        self._request, self._element = request, element
        self._rows, self._channels = rows, channels
        self._chunks = rows * filled(channels) // CHUNK
        self._place = scratch.reserve(self._chunks * CHUNK * 2)

    def array(self, scratch: Any) -> Any:
        """Return the copy."""
        return scratch[self._place].view(np.uint16)

    def bind(self, source: Any, scratch: Any) -> Call:
        """Bind what fills the copy."""
        sizes = np.int64(self._rows), np.int32(self._channels)
        arguments = [source, *sizes, self.array(scratch)]
        grid = blocks(self._chunks)
        return self._request.launch("conv_pack.cu", "pack", grid, arguments, real=self._element)
