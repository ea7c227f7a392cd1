"""DNS: sample boxes from corners and read their features."""

from __future__ import annotations

import math
from dataclasses import dataclass

from denet.detect.prior import prior_boxes
from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.coverage import Coverage
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.op.sparse_sample import SparseSample
from denet.kind import Integer, Real
from denet.layer.base import Layer, salt, true_boxes
from denet.layer.declare import argument, setting, tag


@dataclass(kw_only=True)
class DenetSparse(Layer):
    """Sampled boxes: the sample_num x sample_num most likely boxes of DNC, one per output cell.

    A cell holds the features at a grid of points over its box, row by row, then the box's height
    and width. Training takes part of the boxes at random and shows the true boxes too. Where fewer
    are found, prediction says nothing of the cells that are left over. With prior_levels the first
    cells are prior boxes of so many sizes all over the image, so that what has no corners that
    a network could learn is found too. Boxes of neighbouring corners show one object: local_max
    has the places hold more objects, DNS.P has training see such boxes all the same.
    """

    symbol = "DNS"
    type_name = "denet-sparse"

    grid_size: int = argument(Integer(1, 64), "points along each side of a box", 3)
    sample_num: int = argument(Integer(1, 256), "boxes along each side of the output", 4)
    corner_threshold: float = argument(
        Real(0.0, 1.0), "probability above which a corner counts", 0.01
    )
    random_sample: float = argument(Real(0.0, 1.0), "share of random boxes in training", 0.1)
    local_max: int = argument(
        Integer(0, 64), "a corner is the most likely of its type within so many cells", 0
    )
    nms_threshold: float = argument(
        Real(0.0, 1.0), "IoU above which boxes form one cluster (1: none do)", 1.0
    )
    prior_levels: int = argument(
        Integer(0, 8), "sizes of the prior boxes that are samples too (4: 242 boxes)", 0
    )
    sample_gt: bool = tag("G", "training does not add the true boxes", True)
    distinct_in_prediction: bool = tag("P", "local_max and nms_threshold hold in prediction only")
    corner_max: int = setting(Integer(1, 65536), "corners of each type, the most likely", 1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distinct_in_prediction and not self.local_max and self.nms_threshold == 1:
            raise self.error(
                "tag P: without local_max and nms_threshold, which it is about: give one of them, "
                "or leave P out"
            )
        prior, places = len(prior_boxes(self.prior_levels)), self.sample_num**2
        if prior > places:
            raise self.error(
                f"prior_levels: {self.prior_levels} have {prior} boxes, sample_num has {places} "
                f"places: set sample_num to {math.ceil(math.sqrt(prior))} or more"
            )

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if "corner" not in graph.marks:
            raise DescriptionError("no DNC stands before it; add one")
        if "sample" in graph.marks:
            raise DescriptionError("a network has one DNS; remove this one")
        search = CornerSearch(
            self.sample_num,
            self.corner_threshold,
            self.local_max,
            self.nms_threshold,
            self.random_sample,
            salt(graph),
            self.prior_levels,
            self.distinct_in_prediction,
            corner_max=self.corner_max,
        )
        sample, count = graph.apply(search, graph.marks["corner"])
        truth = true_boxes(graph, x.shape[0])
        graph.ratio("sample_coverage", graph.apply(Coverage(), sample, *truth))
        if self.sample_gt:
            sample = graph.apply(InjectGroundTruth(), sample, *truth)
        graph.marks["sample"], graph.marks["sample_count"] = sample, count
        y: Tensor = graph.apply(SparseSample(self.grid_size), x, sample)
        return y
