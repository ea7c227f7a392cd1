"""F: fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.kind import FILTERS
from denet.layer.base import Layer
from denet.layer.convolution import BIAS_START, convolve
from denet.layer.declare import argument, option, tag
from denet.layer.initialise import DEFAULT, WeightScheme


@dataclass(kw_only=True)
class FullyConnected(Layer):
    """Fully connected: each output sees the whole map, a convolution whose window is the map."""

    symbol = "F"
    type_name = "full"

    filters: int = argument(FILTERS, "outputs")
    bias_start: float = argument(BIAS_START, "of the biases", 0.0)
    bias: bool = tag("B", "no bias", True)
    weight_init: str | float = option(WeightScheme(), "start of the weights", DEFAULT)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        return convolve(
            graph,
            x,
            self.filters,
            (height, width),
            bias=self.bias,
            bias_start=self.bias_start,
            weight_init=self.weight_init,
        )
