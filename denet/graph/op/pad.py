"""A border of zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.window import Padding, pad, unpad
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Pad(Op):
    """y[n, i + top, j + left, c] = x[n,i,j,c] and 0 around it; gx is g without the border."""

    top: int
    bottom: int
    left: int
    right: int

    def infer(self, *inputs: TensorType) -> Types:
        n, h, w, c = image(inputs[0])
        shape = (n, self.top + h + self.bottom, self.left + w + self.right, c)
        return (TensorType(shape, inputs[0].dtype),)

    @property
    def _border(self) -> Padding:
        return (self.top, self.bottom), (self.left, self.right)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        return (pad(inputs[0], self._border),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        return (unpad(gradients[0], self._border),)
