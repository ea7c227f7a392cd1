"""Let training see the true boxes among the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.graph.graph import TensorType
from denet.graph.op.base import Arrays, Op, Run, Types


@dataclass(frozen=True)
class InjectGroundTruth(Op):
    """Inputs: sample (n, N, 4), score (n, N), box (n, M, 4), box class (n, M) int32, -1 for none.

    Outputs: sample and score, where the true boxes of an image, in their order and with score 1,
    take the last places; of more than N boxes the first N. Not training: outputs = inputs.
    """

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        sample, score, box, box_class = inputs
        n, count, _ = sample.shape
        assert sample.shape == (n, count, 4) and score.shape == (n, count), inputs
        assert box.shape == (*box_class.shape, 4) and box_class.dtype == "int32", inputs
        return sample, score

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        sample, score, box, box_class = inputs
        sample, score = sample.copy(), score.copy()
        if run.training:
            count = sample.shape[1]
            for index, known in enumerate(box_class >= 0):
                true = box[index, known][:count]
                sample[index, count - len(true) :] = true
                score[index, count - len(true) :] = 1
        return (sample, score), ()
