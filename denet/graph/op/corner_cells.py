"""How many of the cells of a map are corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class CornerCells(Op):
    """Input: t (n, height, width, k) of CornerTarget.

    Output: (2,) float32, the sum of t, and how many there are. No gradient.
    """

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        image(*inputs)
        return (TensorType((2,), "float32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        (target,) = inputs
        return (np.array([target.sum(dtype=np.float64), target.size], target.dtype),), ()
