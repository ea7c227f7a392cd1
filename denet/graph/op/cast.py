"""Turn float32 into the precision of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Cast(Op):
    """y = x, rounded to the plan's precision; gy passes back unchanged."""

    def infer(self, *inputs: TensorType) -> Types:
        return (TensorType(inputs[0].shape, "real"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        return (inputs[0].copy(),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        return (gradients[0].copy(),)
