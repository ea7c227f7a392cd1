"""TR: what stands between two dense blocks."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.pool import Pool
from denet.kind import Flag, Real
from denet.layer.activated_convolution import convolve_activated
from denet.layer.activation import ACTIVATION
from denet.layer.base import Layer
from denet.layer.batch_norm import EPSILON, MOMENTUM
from denet.layer.declare import argument, option, setting
from denet.layer.dense import DROPOUT


@dataclass(kw_only=True)
class Transition(Layer):
    """Transition between dense blocks: fewer channels, on a map of half the size.

    Huang et al. 2017 (arXiv 1608.06993), section 3: batch normalisation, activation, 1x1
    convolution (no bias, he-backward weights) to floor(compression * channels), dropout, mean of
    windows of 2x2.
    """

    symbol = "TR"
    type_name = "transition"

    compression: float = argument(
        Real(0.0, 1.0, above=True), "part of the channels that stays", 0.5
    )
    dropout: float = argument(DROPOUT, "probability to drop a value of the convolution", 0.0)
    activation: str = option(ACTIVATION, "the function", "relu")
    bn_enabled: bool = setting(Flag(), "batch normalisation in the layer", True)
    bn_momentum: float = setting(MOMENTUM, "of the running statistics", 0.9)
    bn_eps: float = setting(EPSILON, "added to the variance", 1e-5)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        filters = int(x.shape[3] * self.compression)
        if not filters:
            raise DescriptionError(
                f"{self.compression:g} of {x.shape[3]} channels is none: raise the compression"
            )
        y = convolve_activated(graph, x, self, "", filters, 1)
        smaller: Tensor = graph.apply(Pool("mean", (2, 2), (2, 2), 0, False), y)
        return smaller
