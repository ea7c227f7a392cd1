"""The first channels of a map: a concatenation's first part, taken out of it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class FirstChannels(Op):
    """y = x[..., :channels]; the gradient of the others is 0."""

    channels: int

    gradient_inputs = (0,)

    def infer(self, *inputs: TensorType) -> Types:
        (x,) = inputs
        assert 0 < self.channels <= x.shape[3], (self.channels, x.shape)
        return (TensorType((*x.shape[:3], self.channels), x.dtype),)

    def saved(self, *inputs: TensorType) -> Types:
        return (TensorType((1,), "int32"),)  # channels of x

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        (x,) = inputs
        return (x[..., : self.channels].copy(),), (np.array([x.shape[3]], np.int32),)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        others = int(saved[0][0]) - self.channels
        return (np.pad(gradients[0], ((0, 0), (0, 0), (0, 0), (0, others))),)
