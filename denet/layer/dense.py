"""DL: dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from denet.graph.graph import Graph, Tensor
from denet.graph.op.concat import Concat
from denet.graph.op.dropout import Dropout
from denet.kind import FILTERS, Flag, Integer, Real
from denet.layer.activation import ACTIVATION, activate
from denet.layer.base import Layer, salt
from denet.layer.batch_norm import EPSILON, MOMENTUM, normalise
from denet.layer.border_mode import padding
from denet.layer.convolution import convolve
from denet.layer.declare import argument, option, setting

if TYPE_CHECKING:
    from denet.layer.transition import Transition

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


def convolve_activated(
    graph: Graph, x: Tensor, layer: DenseLayer | Transition, number: str, filters: int, size: int
) -> Tensor:
    """Add normalisation, activation, convolution and dropout as ``layer`` has them set."""
    if layer.bn_enabled:
        with graph.scope(f"bn{number}"):
            x = normalise(graph, x, layer.bn_momentum, layer.bn_eps)
    x = activate(graph, x, layer.activation)
    with graph.scope(f"conv{number}"):
        sides = padding("half", size)
        y = convolve(graph, x, filters, (size, size), padding=(sides, sides))
        return graph.apply(Dropout(layer.dropout, salt(graph)), y) if layer.dropout else y
