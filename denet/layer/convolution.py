"""C: convolution."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.initial import constant
from denet.graph.op.conv import Conv
from denet.kind import FILTERS, LENGTH, Integer, Real
from denet.layer.base import Layer
from denet.layer.border_mode import BorderMode, padding
from denet.layer.declare import argument, option, tag
from denet.layer.initialise import DEFAULT, WeightScheme, weight_initial

GROUPS = Integer(1, 65536)
BIAS_START = Real(-1e6, 1e6)


@dataclass(kw_only=True)
class Convolution(Layer):
    """Convolution: slide learned windows over the map; each filter makes one channel.

    The zeros around the map follow --border-mode, the first weights --weight-init. With p zeros in
    all, out = floor((in + p - size) / stride) + 1. With g groups the first g-th of the filters sees
    the first g-th of the channels, and so on (Krizhevsky et al. 2012, section 3.5).
    """

    symbol = "C"
    type_name = "conv"

    filters: int = argument(FILTERS, "output channels")
    size: tuple[int, int] = argument(LENGTH, "of the window", 1, ("size_y", "size_x"))
    stride: tuple[int, int] = argument(LENGTH, "of the window", 1, ("stride_y", "stride_x"), 1)
    groups: int = argument(GROUPS, "parts of channels and filters that see each other", 1)
    bias_start: float = argument(BIAS_START, "of the biases", 0.0)
    bias: bool = tag("B", "no bias", True)
    border_mode: str | int = option(BorderMode(), "zeros around the map", "valid")
    weight_init: str | float = option(WeightScheme(), "start of the weights", DEFAULT)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if self.border_mode == "same" and self.stride != (1, 1):
            raise DescriptionError("border mode same needs stride 1; use half")
        top_bottom, left_right = (padding(self.border_mode, size) for size in self.size)
        return convolve(
            graph,
            x,
            self.filters,
            self.size,
            self.stride,
            (top_bottom, left_right),
            bias=self.bias,
            bias_start=self.bias_start,
            groups=self.groups,
            weight_init=self.weight_init,
        )


def convolve(
    graph: Graph,
    x: Tensor,
    filters: int,
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    *,
    bias: bool = False,
    bias_start: float = 0.0,
    groups: int = 1,
    weight_init: str | float = DEFAULT,
    dtype: str = "real",
) -> Tensor:
    """Convolve x with a new parameter ``weight`` (filters, c / groups, h, w), if asked ``bias``."""
    channels = x.shape[3]
    if channels % groups or filters % groups:
        raise DescriptionError(
            f"{channels} channels and {filters} filters cannot both be parted into {groups} groups"
        )
    shape = (filters, channels // groups, *size)
    start = weight_initial(weight_init, shape)
    parameters = [graph.parameter("weight", shape, start, decay=True)]
    if bias:
        parameters.append(graph.parameter("bias", (filters,), constant(bias_start)))
    op = Conv(stride, padding, bias, dtype=dtype, groups=groups)
    y: Tensor = graph.apply(op, x, *parameters)
    return y
