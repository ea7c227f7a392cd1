"""The cost of corner detection: cross entropy of every cell of the corner map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, GradientSaving, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class CornerCrossEntropy(GradientSaving):
    """cost = factor / (n height width k ln 2) sum of -t log P - (1 - t) log(1 - P).

    Inputs: logits h (n, height, width, k) float32, t of CornerTarget. P = sigmoid(-2h), the second
    part of the softmax of (h, -h). In training each term is dropped with probability ``dropout``,
    the others are divided by 1 - dropout; the draws of a sample are a function of its key and
    ``salt``.
    gh = g factor / (n height width k ln 2) 2 (t - P), where it is not dropped.
    """

    factor: float = 1.0
    dropout: float = 0.0
    salt: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.dropout < 1, self.dropout

    def infer(self, *inputs: TensorType) -> Types:
        logits, target = inputs
        assert image(logits) == target.shape and logits.dtype == "float32", inputs
        return super().infer(*inputs)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        logits, target = inputs
        weight = self._weight(run, logits)
        # -log P = softplus(2h) and -log(1 - P) = softplus(-2h)
        without, with_ = np.logaddexp(0, -2 * logits), np.logaddexp(0, 2 * logits)
        cost = (weight * (target * with_ + (1 - target) * without)).sum(dtype=np.float64)
        # 2 (t - P) = 2 t (1 - P) - 2 (1 - t) P, where nothing is lost as P comes near t
        slope = 2 * weight * (target * np.exp(-without) - (1 - target) * np.exp(-with_))
        return (cost.astype(logits.dtype),), (slope,)

    def _weight(self, run: Run, logits: np.ndarray) -> np.ndarray:
        """Return what each term counts (n, height, width, k)."""
        weight = np.full(logits.shape, self.factor / (logits.size * np.log(2)), logits.dtype)
        if run.training and self.dropout:
            for sample, generator in zip(weight, run.generators(self.salt), strict=True):
                sample *= generator.random(sample.shape, np.float32) >= self.dropout
            weight /= 1 - self.dropout
        return weight
