"""The cost of classification: cross entropy of the softmax, with label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.activation import softmax
from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Op):
    """cost = mean over n, h, w of -sum over k of t[k] log softmax(x)[k].

    Inputs: logits x (n, h, w, k), class index (n,) int32, the same for every position;
    t = (1 - s) onehot + s / k with s = ``label_smoothing`` (Szegedy et al. 2016, arXiv 1512.00567,
    section 7). Its gradient is gx = g (softmax(x) - t) / (n h w).
    """

    label_smoothing: float = 0.0

    backward_inputs = (0, 1)

    def infer(self, *inputs: TensorType) -> Types:
        logits, index = inputs
        assert index == TensorType(logits.shape[:1], "int32"), inputs
        return (TensorType((), "float32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        logits, index = inputs
        shifted = logits - logits.max(axis=3, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(axis=3, keepdims=True))
        target = self._target(index, logits.shape[3], logits.dtype)
        cost = -(target * log_probability).sum(axis=3).mean(dtype=np.float64)
        return (cost.astype(logits.dtype),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        logits, index = inputs
        n, h, w, k = logits.shape
        gx = softmax(logits)
        gx -= self._target(index, k, logits.dtype)
        gx *= gradients[0] / (n * h * w)
        return gx, None

    def _target(self, index: np.ndarray, k: int, dtype: Any) -> np.ndarray:
        """Return the target distribution (n, 1, 1, k)."""
        assert index.min() >= 0 and index.max() < k, "class index out of range"
        target = np.full((len(index), 1, 1, k), self.label_smoothing / k, dtype)
        target[np.arange(len(index)), 0, 0, index] += 1 - self.label_smoothing
        return target
