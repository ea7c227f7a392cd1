"""Local response normalisation: channels that are strong quieten their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class LocalResponse(Op):
    """y[c] = x[c] / d[c]^beta, d[c] = kappa + alpha * sum of x[k]^2, |k - c| <= size // 2.

    Krizhevsky et al. 2012, section 3.3; the sum is over channels k of the same group. With g the
    gradient of y: gx[c] = g[c] / d[c]^beta - 2 alpha beta x[c] sum of g[k] x[k] / d[k]^(beta + 1).
    """

    size: int = 5
    kappa: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    groups: int = 1

    backward_inputs = (0,)

    def __post_init__(self) -> None:
        assert self.size % 2 == 1, self.size

    def infer(self, *inputs: TensorType) -> Types:
        assert image(inputs[0])[3] % self.groups == 0, (inputs, self.groups)
        return (inputs[0],)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x = inputs[0]
        return (x * self._divisor(x) ** -self.beta,), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        x, g = inputs[0], gradients[0]
        divisor = self._divisor(x)
        quotient = g * divisor**-self.beta
        others = self._neighbours(quotient * x / divisor)
        return (quotient - (2 * self.alpha * self.beta) * x * others,)

    def _divisor(self, x: np.ndarray) -> np.ndarray:
        divisor: np.ndarray = self.kappa + self.alpha * self._neighbours(x * x)
        return divisor

    def _neighbours(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each channel and its neighbours within the group."""
        n, h, w, c = values.shape
        parts = values.reshape(n, h, w, self.groups, c // self.groups)
        reach = self.size // 2
        padded = np.pad(parts, [(0, 0)] * 4 + [(reach, reach)])
        view = np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=4)
        total: np.ndarray = view.sum(axis=-1, dtype=values.dtype).reshape(values.shape)
        return total
