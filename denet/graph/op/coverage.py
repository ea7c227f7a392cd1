"""How many of the true boxes the samples have found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.detect.box import iou
from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.op.truth import check_samples
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Coverage(Op):
    """Inputs: sample (n, N, 4), box (n, M, 4), box class (n, M) int32, -1 for no box.

    Output: (2,) int32, the true boxes of the batch that some sample of their image overlaps by an
    IoU above ``overlap``, and all true boxes. No gradient.
    """

    overlap: float = 0.5

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        check_samples(*inputs)
        return (TensorType((2,), "int32"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        covered, total = 0, 0
        for sample, box, box_class in zip(*inputs, strict=True):
            true = box[box_class >= 0]
            covered += int((iou(true, sample) > self.overlap).any(axis=1).sum())
            total += len(true)
        return (np.array([covered, total], np.int32),), ()
