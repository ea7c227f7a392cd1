"""The cost of telling which object a sampled box shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from denet.detect.target import FITNESS_BINS, class_target
from denet.graph.op.base import Arrays, GradientSaving, Run, Types
from denet.graph.op.truth import check_detection
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class DetectionCrossEntropy(GradientSaving):
    """cost = factor / (n S^2 ln k) * sum over samples and outputs of -t log softmax(x).

    Inputs: logits x (n, S, S, k) float32, sample (n, S S, 4), box (n, M, 4), box class (n, M)
    int32, -1 for no box. t is that of class_target: every class of which an object overlaps the
    sample by more than ``overlap`` has an equal share, else the last output (null) has all.
    ``joint``: k = 5 C + 1 outputs tell class and fitness, else k = C + 1.
    Gradient of x: factor / (n S^2 ln k) (softmax(x) - t).
    """

    factor: float
    overlap: float
    joint: bool

    def infer(self, *inputs: TensorType) -> Types:
        check_detection(*inputs)
        assert not self.joint or inputs[0].shape[3] % FITNESS_BINS == 1, inputs
        return super().infer(*inputs)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        logits, *images = inputs
        class_num = (logits.shape[3] - 1) // (FITNESS_BINS if self.joint else 1)
        targets = (
            class_target(sample, box, box_class, class_num, self.overlap, self.joint)
            for sample, box, box_class in zip(*images, strict=True)
        )
        return cross_entropy(logits, targets, self.factor)


def cross_entropy(
    logits: np.ndarray, targets: Iterable[np.ndarray], factor: float
) -> tuple[Arrays, Arrays]:
    """Return (cost,), (its gradient,) of logits (n, S, S, k) against targets (S S, k) by image.

    Divided by ln k, the cost of knowing nothing is ``factor``. Image by image, so that what is
    made on the way stays small.
    """
    k = logits.shape[3]
    scale = factor / (logits[..., 0].size * log(k))
    gradient = np.empty_like(logits)
    cost = 0.0
    for x, target, g in zip(logits, targets, gradient, strict=True):
        shifted = x.reshape(target.shape)
        shifted = shifted - shifted.max(axis=1, keepdims=True)
        power = np.exp(shifted)
        total = power.sum(axis=1, keepdims=True)
        cost += np.log(total).sum(dtype=np.float64) - (target * shifted).sum(dtype=np.float64)
        power /= total
        power -= target
        power *= scale
        g[...] = power.reshape(g.shape)
    return (np.asarray(cost * scale, logits.dtype),), (gradient,)
