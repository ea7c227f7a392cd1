"""How many of the cells of a map are corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.detect.corner import corner_targets
from denet.graph.graph import TensorType
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.truth import check_truth


@dataclass(frozen=True)
class CornerCells(Op):
    """Inputs: map of corners (n, height, width, k), box (n, M, 4), box class (n, M) int32.

    Output: (2,) float32, the sum of the targets t of CornerCrossEntropy with this ``spread``, and
    how many there are. No gradient.
    """

    spread: float = 0.0

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        corner, *truth = inputs
        n, _, _, corner_num = image(corner)
        assert corner_num in (4, 5), inputs
        check_truth(n, *truth)
        return (TensorType((2,), "float32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        corner, box, box_class = inputs
        target = corner_targets(corner.shape, box, box_class, self.spread)
        return (np.array([target.sum(dtype=np.float64), target.size], corner.dtype),), ()
