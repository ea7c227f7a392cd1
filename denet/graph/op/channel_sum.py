"""Sums over a batch that keep their digits."""

from __future__ import annotations

import numpy as np


def channel_sum(x: np.ndarray) -> np.ndarray:
    """Return the float64 sum (c,) of x (n, h, w, c) over all but the channels.

    Rows are summed in the precision of x, which is quick, and they are short; the sum of the
    rows, which may be very many, is not.
    """
    total: np.ndarray = x.sum(axis=2).sum(axis=(0, 1), dtype=np.float64)
    return total


def centred(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x - mean, and mean and biased variance (c,) of x (n, h, w, c) by channel."""
    m = x.size // x.shape[3]
    mean = (channel_sum(x) / m).astype(x.dtype)
    away = x - mean
    return away, mean, (channel_sum(away * away) / m).astype(x.dtype)
