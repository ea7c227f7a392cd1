"""Channels of zeros beside those of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class PadChannels(Op):
    """y[..., c + before] = x[..., c], other channels 0; gx is g without these."""

    before: int
    after: int

    def infer(self, *inputs: TensorType) -> Types:
        *rest, c = image(inputs[0])
        return (TensorType((*rest, self.before + c + self.after), inputs[0].dtype),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        return (np.pad(inputs[0], ((0, 0),) * 3 + ((self.before, self.after),)),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        (g,) = gradients
        return (g[..., self.before : g.shape[3] - self.after].copy(),)
