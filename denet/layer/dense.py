"""DL: dense layer."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.concat import Concat
from denet.kind import FILTERS, Flag, Integer, Real
from denet.layer.activated_convolution import convolve_activated
from denet.layer.activation import ACTIVATION
from denet.layer.base import Layer
from denet.layer.batch_norm import EPSILON, MOMENTUM
from denet.layer.declare import argument, option, setting

GROWTH = "channels that each appends"
BOTTLENECK = Integer(0, 1024)
DROPOUT = Real(0.0, 1.0, below=True)


@dataclass(kw_only=True)
class DenseLayer(Layer):
    """Dense layer: append to the map what a 3x3 convolution of it finds.

    Huang et al. 2017 (arXiv 1608.06993), section 3: batch normalisation, activation, 1x1
    convolution to bottleneck * growth channels, batch normalisation, activation, 3x3 convolution
    to growth channels. Without a bottleneck (0) the first three are left out. Convolutions have no
    bias, border half and he-backward weights; dropout follows each of them.
    """

    symbol = "DL"
    type_name = "dense"

    growth: int = argument(FILTERS, GROWTH)
    bottleneck: int = argument(BOTTLENECK, "growths of channels between, 0 for none", 4)
    dropout: float = argument(DROPOUT, "probability to drop a value of a convolution", 0.0)
    activation: str = option(ACTIVATION, "the function", "relu")
    bn_enabled: bool = setting(Flag(), "batch normalisation in the layer", True)
    bn_momentum: float = setting(MOMENTUM, "of the running statistics", 0.9)
    bn_eps: float = setting(EPSILON, "added to the variance", 1e-5)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        y, last = x, "1"
        if self.bottleneck:
            y = convolve_activated(graph, y, self, "1", self.bottleneck * self.growth, 1)
            last = "2"
        y = convolve_activated(graph, y, self, last, self.growth, 3)
        both: Tensor = graph.apply(Concat(), x, y)
        return both
