"""All outputs of a rank's images, of a layer of which each rank has a part of the outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.op.gather_rows import padded
from denet.graph.ranks import Ranks
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class ScatterColumns(Op):
    """y = the rows of this rank of the x of all ranks, side by side: what GatherRows began.

    x (most ranks, h, w, own channels) gives y (n, h, w, sum of ``widths``), the channels by rank.

    Rank r has n_r of the n images of a step. Its cost is a mean over its own, so that the gradient
    of the whole step is sum_r n_r / n (that of rank r). The gradients of weights that every rank
    has are summed so later; those of a split layer are sums over the rows of all ranks at once. So
    gx has the rows of g of rank r times its share n_r / n, and GatherRows takes that out again.
    """

    n: int
    most: int
    widths: tuple[int, ...]
    ranks: Ranks

    def infer(self, *inputs: TensorType) -> Types:
        rows, h, w, own = inputs[0].shape
        assert rows == self.most * self.ranks.count and own == self.widths[self.ranks.rank], inputs
        return (TensorType((self.n, h, w, sum(self.widths)), inputs[0].dtype),)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        parts = np.split(inputs[0], self.ranks.count)
        shapes = [(*parts[0].shape[:-1], width) for width in self.widths]
        return (np.concatenate(self.ranks.trade(parts, shapes), axis=-1)[: self.n],), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        g = padded(gradients[0] * self.ranks.share, self.most)
        parts = np.split(g, np.cumsum(self.widths[:-1]), axis=-1)
        return (
            np.concatenate(self.ranks.trade(parts, [parts[self.ranks.rank].shape] * len(parts))),
        )
