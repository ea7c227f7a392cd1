"""SPLIT: cut the network for training."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.kind import Flag
from denet.layer.base import Layer
from denet.layer.declare import setting


@dataclass(kw_only=True)
class Split(Layer):
    """Cut the network here: training saves memory and computes the part before twice."""

    symbol = "SPLIT"
    type_name = "split"

    enabled: bool = setting(Flag(), "without it the layer does nothing", True)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if self.enabled:
            graph.split()
        return x
