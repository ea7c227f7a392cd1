"""DNC: find the corners of objects."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.initial import constant
from denet.graph.op.conv import Conv
from denet.graph.op.corner_cells import CornerCells
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_target import CornerTarget
from denet.kind import FILTERS, Real
from denet.layer.base import Layer, salt, true_boxes
from denet.layer.convolution import convolve
from denet.layer.declare import argument, option, tag
from denet.layer.initialise import DEFAULT, WeightScheme

START = 5.0  # logit of all cells before training: P(corner) = sigmoid(-10)


@dataclass(kw_only=True)
class DenetCorner(Layer):
    """Corners of objects: their probability at each cell of the map, and features for DNS.

    Two 1x1 convolutions with bias read the map: one makes a logit h for each of the 4 corner types
    (P = sigmoid(-2h), float32), the other the features, which the layer passes on. Training adds
    the cross entropy of the corners to the cost.
    """

    symbol = "DNC"
    type_name = "denet-corner"

    sample_feat: int = argument(FILTERS, "features of each cell", 512)
    cost_factor: float = argument(Real(0.0, 1e6), "of the cost of corners", 1.0)
    dropout: float = argument(
        Real(0.0, 1.0, below=True), "probability to leave a cell out of the cost", 0.0
    )
    use_center: bool = tag("C", "find the centres of objects too, as a 5th corner type")
    weight_init: str | float = option(WeightScheme(), "start of the weights of features", DEFAULT)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if "corner" in graph.marks:
            raise DescriptionError("a network has one DNC; remove this one")
        n, height, width, channels = x.shape
        corner_num = 5 if self.use_center else 4
        with graph.scope("corner"):
            weight = graph.parameter("weight", (corner_num, channels, 1, 1), constant(0.0), True)
            bias = graph.parameter("bias", (corner_num,), constant(START))
            corner: Tensor = graph.apply(Conv(bias=True, dtype="float32"), x, weight, bias)
        graph.marks["corner"] = corner
        wanted = CornerTarget(height, width, corner_num)
        target: Tensor = graph.apply(wanted, *true_boxes(graph, n))
        cost = CornerCrossEntropy(self.cost_factor, self.dropout, salt(graph))
        graph.cost(graph.apply(cost, corner, target, name="corner"))
        graph.ratio("corner_cells", graph.apply(CornerCells(), target))
        with graph.scope("sample"):
            return convolve(
                graph, x, self.sample_feat, (1, 1), bias=True, weight_init=self.weight_init
            )
