"""The softmax regression of R: class probabilities and the cost of training."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.crop import Crop
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy
from denet.layer.base import Layer
from denet.layer.declare import tag


@dataclass(kw_only=True)
class Regression(Layer):
    """Softmax over the classes at each position of the map of logits.

    Cost: the mean of -log softmax[class] over positions. Probability: the mean of softmax. The
    logits of R at several positions are an output too, class_map (n, h, w, k) float32.
    """

    type_name = "regression"
    last = "its output is the answer"

    centre: bool = tag("C", "only the centre position counts, row h // 2 and column w // 2")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        n, height, width, channels = x.shape
        if channels != graph.class_num:
            raise DescriptionError(
                f"needs one channel for each of {graph.class_num} classes; got {channels}"
            )
        if self.centre and (height, width) != (1, 1):
            x = graph.apply(Crop(height // 2, width // 2, 1, 1), x)
        class_index = graph.input("class_index", (n,), "int32")
        graph.cost(graph.apply(SoftmaxCrossEntropy(graph.label_smoothing), x, class_index))
        graph.output("class_probability", graph.apply(ClassProbability(), x))
        if x.shape[1:3] != (1, 1) and x.type.dtype == "float32":
            graph.output("class_map", x)  # there anyway: it costs nothing
        return x
