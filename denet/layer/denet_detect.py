"""DND: what a detector says of its samples."""

from __future__ import annotations

from dataclasses import dataclass

from denet.detect.target import FITNESS_BINS
from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.box_regression import BoxRegression
from denet.graph.op.decode_box import DecodeBox
from denet.graph.op.detection_cross_entropy import DetectionCrossEntropy
from denet.graph.op.detection_probability import DetectionProbability
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy
from denet.kind import Real
from denet.layer.base import Layer, true_boxes
from denet.layer.convolution import convolve
from denet.layer.declare import argument, tag

OVERLAP = Real(0.0, 1.0)
FACTOR = Real(0.0, 1e6)


@dataclass(kw_only=True)
class DenetDetect(Layer):
    """Detection: the class of each sample of DNS and, if asked, a better box and its fitness.

    1x1 convolutions with a bias, all 0 at the start, read the samples: ``detect`` gives one logit
    per class and one for null, the last; ``bbox`` (bbox_factor above 0) moves the box;
    ``fitness`` (fitness_factor above 0) tells how well it fits, in 5 steps of the IoU.
    """

    symbol = "DND"
    type_name = "denet-detect"
    # (in 2017 layers behind DND read what DND reads, and prediction asked the last one only)
    last = "its output is the answer; what is to read the samples stands before DND"

    overlap_threshold: tuple[float, float] = argument(
        OVERLAP, "IoU above which a sample shows an object", 0.5, ("class_overlap", "box_overlap")
    )
    cost_factor: float = argument(FACTOR, "of the cost of classes", 1.0)
    bbox_factor: float = argument(FACTOR, "of the cost of boxes (0 keeps the sampled ones)", 0.0)
    fitness_factor: float = argument(FACTOR, "of the cost of fitness (0 leaves it out)", 0.0)
    joint_fitness: bool = tag("J", "each class in 5 steps of fitness; needs fitness_factor=0")
    bounded_iou: bool = tag("B", "cost of boxes by bounded IoU instead of smooth L1")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint_fitness and self.fitness_factor:
            raise self.error(
                "joint_fitness (J) tells the fitness with the class: set fitness_factor to 0; "
                f"got {self.fitness_factor:g}"
            )

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        sample = self._samples(graph, x)
        truth = sample, *true_boxes(graph, x.shape[0])
        class_overlap, box_overlap = self.overlap_threshold

        steps = FITNESS_BINS if self.joint_fitness else 1
        logits = self._outputs(graph, x, "detect", graph.class_num * steps + 1)
        cost = DetectionCrossEntropy(self.cost_factor, class_overlap, self.joint_fitness)
        graph.cost(graph.apply(cost, logits, *truth, name="class"))
        graph.output("detection_probability", graph.apply(DetectionProbability(), logits))

        moved = [sample]
        if self.bbox_factor:
            regression = self._outputs(graph, x, "bbox", 4)
            error = BoxRegression(self.bbox_factor, box_overlap, self.bounded_iou)
            graph.cost(graph.apply(error, regression, *truth, name="box"))
            moved = [regression, sample]
        graph.output("detection_box", graph.apply(DecodeBox(), *moved))
        graph.output("sample_count", graph.marks["sample_count"])

        if self.fitness_factor:
            fitness = self._outputs(graph, x, "fitness", FITNESS_BINS + 1)
            loss = FitnessCrossEntropy(self.fitness_factor, class_overlap)
            graph.cost(graph.apply(loss, fitness, *truth, name="fitness"))
            graph.output("detection_fitness", graph.apply(DetectionProbability(), fitness))
        return logits

    def _samples(self, graph: Graph, x: Tensor) -> Tensor:
        """Return the boxes (n, S S, 4) of the samples on the map x."""
        if "sample" not in graph.marks:
            raise DescriptionError("needs the samples of a DNS before it")
        sample = graph.marks["sample"]
        _, height, width, _ = x.shape
        if sample.shape[1] != height * width:
            raise DescriptionError(
                f"needs one position for each of {sample.shape[1]} samples: between DNS and DND "
                "the size of the map must stay; use 1x1 convolutions"
            )
        return sample

    def _outputs(self, graph: Graph, x: Tensor, name: str, count: int) -> Tensor:
        """Return ``count`` float32 numbers for each sample."""
        with graph.scope(name):
            return convolve(graph, x, count, (1, 1), bias=True, weight_init=0.0, dtype="float32")
