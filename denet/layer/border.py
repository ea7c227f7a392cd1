"""B: border."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.pad import Pad
from denet.kind import Integer
from denet.layer.base import Layer
from denet.layer.declare import argument


@dataclass(kw_only=True)
class Border(Layer):
    """Border: zeros around the map."""

    symbol = "B"
    type_name = "border"

    border: tuple[int, int, int, int] = argument(
        Integer(0, 1024), "pixels of zeros on each side", 0, ("left", "right", "top", "bottom")
    )

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        left, right, top, bottom = self.border
        return graph.apply(Pad(top, bottom, left, right), x) if any(self.border) else x
