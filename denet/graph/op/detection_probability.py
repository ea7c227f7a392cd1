"""What a detector says of each sampled box: the probability of each output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.op.activation import softmax
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class DetectionProbability(Op):
    """y (n, S S, k) = softmax of logits x (n, S, S, k) float32; without gradient.

    Sample i stands at row i // S, column i % S.
    """

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        n, height, width, k = image(inputs[0])
        return (TensorType((n, height * width, k), "float32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        n, _, _, k = inputs[0].shape
        return (softmax(inputs[0]).reshape(n, -1, k),), ()
