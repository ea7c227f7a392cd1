"""The cost of telling how well a sampled box fits an object of any class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.detect.target import FITNESS_BINS, fitness_target
from denet.graph.op.base import Arrays, GradientSaving, Run, Types
from denet.graph.op.detection_cross_entropy import cross_entropy
from denet.graph.op.truth import check_detection
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class FitnessCrossEntropy(GradientSaving):
    """cost = factor / (n S^2 ln 6) * sum over samples and outputs of -t log softmax(x).

    Inputs: logits x (n, S, S, 6) float32, sample (n, S S, 4), box (n, M, 4), box class (n, M)
    int32, -1 for no box. t is that of fitness_target: index 0 if no object overlaps the sample by
    more than ``overlap``, else equal shares of 1 + the bins of their overlaps.
    Gradient of x: factor / (n S^2 ln 6) (softmax(x) - t).
    """

    factor: float
    overlap: float

    def infer(self, *inputs: TensorType) -> Types:
        check_detection(*inputs)
        assert inputs[0].shape[3] == FITNESS_BINS + 1, inputs
        return super().infer(*inputs)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        logits, *images = inputs
        targets = (
            fitness_target(sample, box, box_class, self.overlap)
            for sample, box, box_class in zip(*images, strict=True)
        )
        return cross_entropy(logits, targets, self.factor)
