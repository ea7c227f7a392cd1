"""Batch normalisation by the statistics of all ranks that train one network together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Run, Types
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.tensor_type import TensorType

# float64 vector of this rank -> sum of the vectors of all ranks, the same on each
SumOverRanks = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class SharedBatchNorm(BatchNorm):
    """In training BatchNorm of the joined batch of all ranks, of which each has a part.

    A fourth output is the unbiased variance m / (m - 1) variance, which running ones average: the
    m values of a channel on all ranks may change from step to step. ``sum_over_ranks`` is called
    once by forward and once by backward, never by repeat.

    Rank r has m_r values of a channel, their mean and their sum S_r of squares about it:
    mean = sum_r m_r mean_r / m; m variance = sum_r S_r + sum_r m_r (mean_r - mean)^2 (Chan, Golub
    and LeVeque 1983, The American Statistician 37(3), here of many parts at once). What can be
    exchanged at once is sums, so the latter is taken as sum_r m_r mean_r^2 - m mean^2: in float64
    that loses less than float32 statistics themselves do, up to means of 2^14 deviations.

    The gradients of gamma and beta are the sums of the rank's own part. Costs are means over the
    n_r of all n images that a rank has, so its g is n / n_r G, G that of the joined batch, and gx
    must be n / n_r Gx with Gx = gamma / s (G - sum G / m - z sum G z / m), s^2 = variance + eps.
    As sum G = sum_r n_r / n (sum of rank r's g), and so with z, gx = gamma / s (g - (a + z b)
    / (n_r m)) with a = sum_r n_r (sum of rank r's g) and b = sum_r n_r (sum of its g z).
    """

    sum_over_ranks: SumOverRanks = field(kw_only=True)

    repeat_outputs = (1, 2, 3)

    def infer(self, *inputs: TensorType) -> Types:
        y, mean, variance = super().infer(*inputs)
        return y, mean, variance, variance

    def merge(
        self, shape: tuple[int, ...], mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Return mean, variance and unbiased variance of all ranks, (c,) float64."""
        own = prod(shape[:3])
        means = mean.astype(np.float64)
        sums = own * np.stack([means, means * means, variance])
        total = self.sum_over_ranks(np.append(sums, own))
        m = total[-1]
        means, squares, within = total[:-1].reshape(sums.shape) / m
        variances = within + np.maximum(squares - means * means, 0)
        return means, variances, variances * (m / max(m - 1, 1))

    def gradient_means(self, shape: tuple[int, ...], sums: np.ndarray) -> np.ndarray:
        """Return (a, b) / (n_r m), (2, c) float64, for this rank's ``sums`` of g and g z."""
        n = shape[0]
        own = np.append(n * sums.astype(np.float64), prod(shape[:3]))
        total = self.sum_over_ranks(own)
        return total[:-1].reshape(sums.shape) / (n * total[-1])

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        assert run.training, "prediction has no ranks"
        return super().forward(run, *inputs)
