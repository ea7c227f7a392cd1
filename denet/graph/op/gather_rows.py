"""The batches of all ranks as one, for a layer of which each rank has a part of the outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.ranks import Ranks
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class GatherRows(Op):
    """y = the x of all ranks, one behind the other; each of ``most`` rows, the last of them zeros.

    x (n, ...), n <= most, gives y (most ranks, ...). What a rank's x does to the outputs of all
    ranks adds up: gx = (sum over the ranks of its rows of their g) / share, 0 where share is 0: g
    comes from ScatterColumns, which has multiplied it by the share.
    """

    n: int
    most: int
    ranks: Ranks

    def infer(self, *inputs: TensorType) -> Types:
        assert inputs[0].shape[0] == self.n <= self.most, (inputs, self)
        shape = self.most * self.ranks.count, *inputs[0].shape[1:]
        return (TensorType(shape, inputs[0].dtype),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        own = padded(inputs[0], self.most)
        count = self.ranks.count
        return (np.concatenate(self.ranks.trade([own] * count, [own.shape] * count)),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        parts = np.split(gradients[0], self.ranks.count)
        first, *others = self.ranks.trade(parts, [part.shape for part in parts])
        total = first.copy()
        for part in others:  # in the order of the ranks: the same bits each time
            total += part
        total *= 1 / self.ranks.share if self.ranks.share else 0
        return (total[: self.n],)


def padded(x: np.ndarray, most: int) -> np.ndarray:
    """Return x (n, ...) with zeros behind it: (most, ...)."""
    return np.concatenate([x, np.zeros((most - len(x), *x.shape[1:]), x.dtype)])
