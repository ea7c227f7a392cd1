"""Dropout (Srivastava et al. 2014), inverted: training scales, prediction does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Dropout(Op):
    """y = x mask / (1 - rate), gx = g mask / (1 - rate); each mask element is 0 with p = rate.

    The mask of a sample is a function of its key and ``salt``. Not training: y = x.
    """

    rate: float
    salt: int

    def __post_init__(self) -> None:
        assert 0 <= self.rate < 1, self.rate

    def infer(self, *inputs: TensorType) -> Types:
        return (inputs[0],)

    def saved(self, *inputs: TensorType) -> Types:
        return (TensorType(inputs[0].shape, "uint8"),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x = inputs[0]
        if not run.training:
            return (x.copy(),), ()
        mask = np.empty(x.shape, np.uint8)
        for sample, generator in zip(mask, run.generators(self.salt), strict=True):
            sample[...] = generator.random(sample.shape, np.float32) >= self.rate
        return (self._masked(x, mask),), (mask,)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        return (self._masked(gradients[0], saved[0]),)

    def _masked(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        y: np.ndarray = x * mask
        y /= 1 - self.rate
        return y
