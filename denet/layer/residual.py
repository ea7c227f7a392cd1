"""RSN: residual block."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.add import Add
from denet.graph.op.pad_channels import PadChannels
from denet.graph.op.pool import Pool
from denet.kind import FILTERS, LENGTH, Flag, Integer
from denet.layer.activation import ACTIVATION, activate
from denet.layer.base import Layer
from denet.layer.batch_norm import EPSILON, MOMENTUM, normalise
from denet.layer.border_mode import padding
from denet.layer.convolution import convolve
from denet.layer.declare import argument, option, setting, tag

ORIGINAL = "activation after the addition instead of before the convolutions"
WINDOW_STRIDE = "the stride of a bottleneck is in the convolution behind its first"
ZEROS = "the shortcut has no weights: zeros are its new channels"


def check_stride(layer: Layer) -> None:
    """Raise DescriptionError where a block is to move the stride of a bottleneck it has not."""
    if layer.window_stride and not layer.bottleneck:  # type: ignore[attr-defined]
        raise layer.error("the tag S needs a bottleneck")


@dataclass(kw_only=True)
class Residual(Layer):
    """Residual block: two convolutions, or three with a bottleneck, added to a shortcut.

    The tag O gives the block of He et al. 2015 (arXiv 1512.03385), figures 2 and 5, with the
    stride in the first convolution; without it, that of He et al. 2016 (arXiv 1603.05027),
    figure 4e. Convolutions have no bias, border half and he-backward weights. Where the shape
    changes, a 1x1 convolution projects the shortcut: of x, normalised (O), or of the first
    normalisation of x. With Z the shortcut has no weights (option A of He et al. 2015): each
    stride-th pixel, and channels of zeros, half of them before the others.
    """

    symbol = "RSN"
    type_name = "resnet"

    filters: int = argument(FILTERS, "output channels")
    size: int = argument(Integer(1, 1023, odd=True), "of the window")
    stride: int = argument(LENGTH, "of the first convolution", 1)
    bottleneck: int = argument(Integer(0, 65536), "channels between two 1x1 convolutions", 0)
    original: bool = tag("O", ORIGINAL)
    window_stride: bool = tag("S", WINDOW_STRIDE)
    zeros: bool = tag("Z", ZEROS)
    activation: str = option(ACTIVATION, "the function", "relu")
    bn_relu: bool = setting(Flag(), "normalisation and ReLU in one; feeds the shortcut", False)
    bn_enabled: bool = setting(Flag(), "batch normalisation in the block", True)
    bn_momentum: float = setting(MOMENTUM, "of the running statistics", 0.9)
    bn_eps: float = setting(EPSILON, "added to the variance", 1e-5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stride(self)
        if self.bn_relu and self.activation != "relu":
            raise self.error(f"bn_relu needs the activation relu; got {self.activation!r}")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        return self.build_original(graph, x) if self.original else self.build_before(graph, x)

    def convolutions(self) -> list[tuple[int, int, int]]:
        """Return (filters, size, stride) of the convolutions in forward order."""
        if not self.bottleneck:
            return [(self.filters, self.size, self.stride), (self.filters, self.size, 1)]
        first, second = (1, self.stride) if self.window_stride else (self.stride, 1)
        return [
            (self.bottleneck, 1, first),
            (self.bottleneck, self.size, second),
            (self.filters, 1, 1),
        ]

    def build_original(self, graph: Graph, x: Tensor) -> Tensor:
        """Add convolution, normalisation, activation in this order."""
        y = x
        for number, (filters, size, stride) in enumerate(self.convolutions(), 1):
            if number > 1:
                y = activate(graph, y, self.activation)
            y = self.convolve(graph, f"conv{number}", y, filters, size, stride)
            y = self.normalise(graph, f"bn{number}", y)
        if x.shape != y.shape and self.zeros:
            x = self.subsample(graph, x)
        elif x.shape != y.shape:
            x = self.convolve(graph, "shortcut", x, self.filters, 1, self.stride)
            x = self.normalise(graph, "shortcut_bn", x)
        return activate(graph, graph.apply(Add(), y, x), self.activation)

    def build_before(self, graph: Graph, x: Tensor) -> Tensor:
        """Add normalisation, activation, convolution in this order."""
        y, source = x, x
        for number, (filters, size, stride) in enumerate(self.convolutions(), 1):
            normal = self.normalise(graph, f"bn{number}", y)
            y = activate(graph, normal, self.activation)
            if number == 1:
                source = y if self.bn_relu else normal
            y = self.convolve(graph, f"conv{number}", y, filters, size, stride)
        if x.shape != y.shape and self.zeros:
            x = self.subsample(graph, source)
        elif x.shape != y.shape:
            x = self.convolve(graph, "shortcut", source, self.filters, 1, self.stride)
        total: Tensor = graph.apply(Add(), y, x)
        return total

    def subsample(self, graph: Graph, x: Tensor) -> Tensor:
        """Add the shortcut without weights."""
        more = self.filters - x.shape[3]
        if more < 0:
            raise DescriptionError(
                f"a shortcut of zeros cannot make {x.shape[3]} channels {self.filters}: leave the "
                "tag Z out"
            )
        if self.stride > 1:
            x = graph.apply(Pool("mean", (1, 1), (self.stride, self.stride)), x)
        return graph.apply(PadChannels(more // 2, more - more // 2), x) if more else x

    def convolve(
        self, graph: Graph, name: str, x: Tensor, filters: int, size: int, stride: int
    ) -> Tensor:
        """Add a convolution of this block under ``name``."""
        with graph.scope(name):
            sides = padding("half", size)
            return convolve(graph, x, filters, (size, size), (stride, stride), (sides, sides))

    def normalise(self, graph: Graph, name: str, x: Tensor) -> Tensor:
        """Add a batch normalisation under ``name`` if the block has them."""
        if not self.bn_enabled:
            return x
        with graph.scope(name):
            return normalise(graph, x, self.bn_momentum, self.bn_eps)
