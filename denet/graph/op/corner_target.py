"""What training should find on a map of corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.detect.corner import corner_target
from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.op.truth import check_truth
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class CornerTarget(Op):
    """Inputs: box (n, M, 4), box class (n, M) int32, -1 for no box.

    Output: corner_target of each image (n, height, width, corner_num) float32. No gradient.
    """

    height: int
    width: int
    corner_num: int

    gradient_inputs = ()

    def __post_init__(self) -> None:
        assert self.corner_num in (4, 5), self.corner_num

    def infer(self, *inputs: TensorType) -> Types:
        box, box_class = inputs
        n = box.shape[0]
        check_truth(n, box, box_class)
        return (TensorType((n, self.height, self.width, self.corner_num), "float32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        shape = self.height, self.width, self.corner_num
        targets = [
            corner_target(box[box_class >= 0], *shape)
            for box, box_class in zip(*inputs, strict=True)
        ]
        return (np.stack(targets),), ()
