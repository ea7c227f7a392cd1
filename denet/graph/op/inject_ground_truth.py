"""Let training see the true boxes among the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.op.truth import check_samples
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class InjectGroundTruth(Op):
    """Inputs: sample (n, N, 4), box (n, M, 4), box class (n, M) int32, -1 for none.

    Output: sample, where the true boxes of an image, in their order, take the last places; of more
    than N boxes the first N. Not training: output = sample.
    """

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        check_samples(*inputs)
        return (inputs[0],)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        sample, box, box_class = inputs
        sample = sample.copy()
        if run.training:
            count = sample.shape[1]
            for index, known in enumerate(box_class >= 0):
                true = box[index, known][:count]
                sample[index, count - len(true) :] = true
        return (sample,), ()
