"""What a classifier says: the probability of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.op.activation import softmax
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class ClassProbability(Op):
    """y[n,k] = mean over h, w of softmax(x)[n,h,w,k], x logits (n, h, w, k); without gradient."""

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        n, _, _, k = image(inputs[0])
        return (TensorType((n, k), "float32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        return (softmax(inputs[0]).mean(axis=(1, 2)),), ()
