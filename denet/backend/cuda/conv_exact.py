"""The products of a convolution in float32 sums of any shape and element type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from denet.backend.cuda.conv_products import TARGETS, Products
from denet.backend.cuda.tuning import Tile
from denet.graph.kernel import Call


@dataclass(frozen=True)
class ExactTile:
    """TILE, SLICE of conv_exact.cu; plain float units are slow beside tensor cores."""

    name: str = "64x64"
    rows: int = 64
    columns: int = 64
    slice: int = 16
    resident: int = 2
    speed: float = 0.1


TILES = [ExactTile()]


class ExactProducts(Products):
    """Maps are read as they are, weights in float32."""

    name = "exact"

    def _tiles(self) -> Sequence[Tile]:
        return TILES

    def _launch(self, name: str, arguments: list[Any], target: str, measured: bool = False) -> Call:
        elements = {side: self._elements[side] for side in ("large", "small")}
        if name in TARGETS:
            elements[TARGETS[name]] = target
        defines: dict[str, Any] = {f"{side}_real": element for side, element in elements.items()}
        given = [*self._geometry.arguments, *arguments]
        kernel = name + "_statistics" * measured
        launch = self._request.launch
        return launch("conv_exact.cu", kernel, self._grid(name), given, **defines, real="float")
