"""P: pooling."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.pool import Pool
from denet.kind import LENGTH, Integer
from denet.layer.base import Layer
from denet.layer.declare import argument, tag


@dataclass(kw_only=True)
class Pooling(Layer):
    """Pooling: the maximum, or with the tag A the mean, of each window.

    out = floor((in + 2 * padding - size) / stride) + 1; with the tag B windows may stick out
    beyond the border, and out = ceil((in + 2 * padding) / stride). The mean counts padding.
    """

    symbol = "P"
    type_name = "pool"

    size: tuple[int, int] | None = argument(LENGTH, "of the window", None, ("size_y", "size_x"))
    stride: tuple[int, int] | None = argument(
        LENGTH, "of the window", None, ("stride_y", "stride_x"), None, same_as="size"
    )
    padding: int = argument(Integer(0, 1023), "cells on each side of the map", 0)
    mean: bool = tag("A", "mean instead of maximum")
    partial: bool = tag("B", "keep partial windows at the border")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is None and (self.stride is not None or self.padding):
            raise self.error("stride and padding need a size")
        if self.size is not None and self.padding >= min(self.size):
            raise self.error(f"padding must be below the size; got {self.padding}")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        size = self.size or (height, width)
        stride = self.stride or size
        mode = "mean" if self.mean else "max"
        y: Tensor = graph.apply(Pool(mode, size, stride, self.padding, self.partial), x)
        return y
