"""R: classification, a shorthand for the class convolution and the regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from denet.kind import LENGTH
from denet.layer.base import Layer
from denet.layer.class_convolution import ClassConvolution
from denet.layer.declare import argument, tag
from denet.layer.regression import Regression


@dataclass(kw_only=True)
class Classifier(Layer):
    """Classification: a convolution to the classes, then softmax regression (two layers)."""

    symbol = "R"

    size: tuple[int, int] | None = argument(LENGTH, "of the window", None, ("size_y", "size_x"))
    bias: bool = tag("B", "add a bias per class")
    random: bool = tag("T", "random weights at the start (uniform,xavier-forward) instead of 0")
    centre: bool = tag("C", "only the centre position counts, row h // 2 and column w // 2")

    def expand(self) -> list[Layer]:
        return [
            ClassConvolution(size=self.size, bias=self.bias, random=self.random),
            Regression(centre=self.centre),
        ]

    @classmethod
    def collapse(cls, layers: Sequence[Layer]) -> tuple[Layer, int] | None:
        match layers[:2]:
            case [ClassConvolution() as first, Regression() as second]:
                return cls(**vars(first), **vars(second)), 2
        return None
