"""D: dropout."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.dropout import Dropout
from denet.kind import Real
from denet.layer.base import Layer, salt
from denet.layer.declare import argument


@dataclass(kw_only=True)
class DropoutLayer(Layer):
    """Dropout: in training set values to 0 at random and scale the rest by 1 / (1 - rate).

    Srivastava et al. 2014, scaled in training so that prediction leaves the map as it is.
    """

    symbol = "D"
    type_name = "dropout"

    rate: float = argument(Real(0.0, 1.0, below=True), "probability to drop a value", 0.5)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        return graph.apply(Dropout(self.rate, salt(graph)), x) if self.rate else x
