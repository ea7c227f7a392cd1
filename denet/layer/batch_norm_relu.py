"""BNA: batch normalisation and ReLU in one."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.kind import Flag
from denet.layer.activation import activate
from denet.layer.base import Layer
from denet.layer.batch_norm import EPSILON, MOMENTUM, normalise
from denet.layer.declare import argument, setting


@dataclass(kw_only=True)
class BatchNormalisationRelu(Layer):
    """Batch normalisation followed by ReLU, whatever --activation says."""

    symbol = "BNA"
    type_name = "batchnorm-relu"

    momentum: float = argument(MOMENTUM, "of the running statistics", 0.9)
    eps: float = argument(EPSILON, "added to the variance", 1e-5)
    enabled: bool = setting(Flag(), "without it only ReLU is left", True)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if not self.enabled:
            return activate(graph, x, "relu")
        return normalise(graph, x, self.momentum, self.eps, "relu")
