"""DC: transposed convolution."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.initial import constant
from denet.graph.op.deconv import Deconv
from denet.kind import FILTERS, LENGTH
from denet.layer.base import Layer
from denet.layer.border_mode import BorderMode, padding
from denet.layer.declare import argument, option, tag
from denet.layer.initialise import DEFAULT, WeightScheme, weight_initial


@dataclass(kw_only=True)
class Deconvolution(Layer):
    """Transposed convolution: each pixel lays down a learned window; a larger map results.

    With p zeros in all around the output (--border-mode), out = in * stride + size - 1 - p.
    """

    symbol = "DC"
    type_name = "deconv"

    filters: int = argument(FILTERS, "output channels")
    size: tuple[int, int] = argument(LENGTH, "of the window", 1, ("size_y", "size_x"))
    stride: tuple[int, int] = argument(
        LENGTH, "between windows in the output", 1, ("stride_y", "stride_x"), 1
    )
    bias: bool = tag("B", "no bias", True)
    border_mode: str | int = option(BorderMode(), "zeros taken off the output", "valid")
    weight_init: str | float = option(WeightScheme(), "start of the weights", DEFAULT)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        shape = (self.filters, x.shape[3], *self.size)
        start = weight_initial(self.weight_init, shape)
        parameters = [graph.parameter("weight", shape, start, decay=True)]
        if self.bias:
            parameters.append(graph.parameter("bias", (self.filters,), constant(0.0)))
        top_bottom, left_right = (padding(self.border_mode, size) for size in self.size)
        op = Deconv(self.stride, (top_bottom, left_right), self.bias)
        y: Tensor = graph.apply(op, x, *parameters)
        return y
