"""A: activation."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.activation import ACTIVATIONS, Activation
from denet.kind import Choice
from denet.layer.base import Layer
from denet.layer.declare import option

ACTIVATION = Choice(("none", *ACTIVATIONS))


@dataclass(kw_only=True)
class ActivationLayer(Layer):
    """Activation: the function that --activation names; softmax runs over the channels."""

    symbol = "A"
    type_name = "activation"

    activation: str = option(ACTIVATION, "the function", "relu")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        return activate(graph, x, self.activation)


def activate(graph: Graph, x: Tensor, activation: str) -> Tensor:
    """Apply an activation by name; "none" adds no op."""
    return x if activation == "none" else graph.apply(Activation(activation), x)
