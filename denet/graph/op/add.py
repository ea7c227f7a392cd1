"""The sum of two maps, optionally with the ReLU behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.errors import DescriptionError
from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Add(Op):
    """y = a + b, or max(a + b, 0); ga = gb = g where y > 0 (everywhere without the ReLU)."""

    activation: str | None = None  # None | "relu"

    shares_gradient = True
    gradient_inputs = (0, 1)

    @property
    def backward_outputs(self) -> tuple[int, ...]:  # type: ignore[override]
        """The fused ReLU reads y to know where it was positive."""
        return (0,) if self.activation else ()

    def infer(self, *inputs: TensorType) -> Types:
        a, b = inputs
        if a != b:
            raise DescriptionError(
                f"Add: two maps of unlike shape, {a.shape} and {b.shape}: make their sizes and "
                "channels equal"
            )
        return (a,)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        y = inputs[0] + inputs[1]
        if self.activation:
            np.maximum(y, 0, out=y)
        return (y,), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        g = gradients[0] * (outputs[0] > 0) if self.activation else gradients[0]
        return g, g
