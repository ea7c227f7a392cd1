"""The convolution of R: one filter per class."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.kind import LENGTH
from denet.layer.base import Layer
from denet.layer.convolution import convolve
from denet.layer.declare import argument, tag


@dataclass(kw_only=True)
class ClassConvolution(Layer):
    """One logit per class from each window of the map, by default the whole map (float32)."""

    type_name = "class-conv"

    size: tuple[int, int] | None = argument(LENGTH, "of the window", None, ("size_y", "size_x"))
    bias: bool = tag("B", "add a bias per class")
    random: bool = tag("T", "random weights at the start (uniform,xavier-forward) instead of 0")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        return convolve(
            graph,
            x,
            graph.class_num,
            self.size or (height, width),
            bias=self.bias,
            weight_init="uniform,xavier-forward" if self.random else 0.0,
            dtype="float32",
        )
