"""SKIPSRC: mark a map for a later SKIP."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.kind import Integer
from denet.layer.base import Layer
from denet.layer.declare import argument, tag

INDEX = Integer(0, 999)


@dataclass(kw_only=True)
class SkipSource(Layer):
    """Mark the map at this place, for SKIP[index]."""

    symbol = "SKIPSRC"
    type_name = "skip-src"

    index: int = argument(INDEX, "of the mark", 0)
    split: bool = tag("X", "cut the network here too, as SPLIT does")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if self.index in graph.taps:
            raise DescriptionError(f"index {self.index} is marked twice; choose another index")
        graph.taps[self.index] = x
        if self.split:
            graph.split()
        return x
