"""PI: inverse pooling."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.pool_inverse import PoolInverse
from denet.kind import Integer
from denet.layer.base import Layer
from denet.layer.declare import argument


@dataclass(kw_only=True)
class InversePooling(Layer):
    """Inverse pooling: repeat each pixel size x size times."""

    symbol = "PI"
    type_name = "pool-inv"

    size: int = argument(Integer(1, 1024), "copies of a pixel along each axis", 2)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        y: Tensor = graph.apply(PoolInverse(self.size), x)
        return y
