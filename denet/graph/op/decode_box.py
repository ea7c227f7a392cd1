"""The boxes that a detector says: the sampled ones, moved by its regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.detect.box import decode
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class DecodeBox(Op):
    """box (n, S S, 4) = decode(regression, sample); without gradient.

    Inputs: regression (n, S, S, 4) float32 (dx, dy, dw, dh), sample (n, S S, 4). With centres and
    sides: x = sx + dx sw, w = sw exp(dw), y and h alike. Without a regression, box = sample.
    """

    gradient_inputs = ()

    def infer(self, *inputs: TensorType) -> Types:
        *regression, sample = inputs
        for each in regression:
            n, height, width, k = image(each)
            assert (n, height * width, k) == sample.shape, inputs
        return (sample,)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        *regression, sample = inputs
        if not regression:
            return (sample.copy(),), ()
        return (decode(regression[0].reshape(sample.shape), sample),), ()
