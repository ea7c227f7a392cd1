"""The nearest enlargement of a map: every cell becomes a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class PoolInverse(Op):
    """y[n,i,j,c] = x[n, i // size, j // size, c]; gx = sum of g over each size x size block."""

    size: int

    def infer(self, *inputs: TensorType) -> Types:
        n, h, w, c = image(inputs[0])
        return (TensorType((n, h * self.size, w * self.size, c), inputs[0].dtype),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        return (inputs[0].repeat(self.size, axis=1).repeat(self.size, axis=2),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        n, h, w, c = gradients[0].shape
        size = self.size
        return (gradients[0].reshape(n, h // size, size, w // size, size, c).sum(axis=(2, 4)),)
