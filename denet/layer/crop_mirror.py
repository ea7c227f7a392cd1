"""CM: random crop and mirror inside the network."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.op.crop_mirror import CropMirror
from denet.kind import Integer, Real
from denet.layer.base import Layer, salt
from denet.layer.declare import argument

PROBABILITY = Real(0.0, 1.0)


@dataclass(kw_only=True)
class CropAndMirror(Layer):
    """Random crop, mirror (left-right) and flip (up-down) in training; else the centre crop."""

    symbol = "CM"
    type_name = "crop-mirror"

    crop: int = argument(Integer(1, 65536), "height and width that are left, in pixels")
    mirror: float = argument(PROBABILITY, "probability to swap left and right", 0.0)
    flip: float = argument(PROBABILITY, "probability to swap top and bottom", 0.0)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        op = CropMirror(self.crop, self.crop, self.mirror, self.flip, salt(graph))
        y: Tensor = graph.apply(op, x)
        return y
