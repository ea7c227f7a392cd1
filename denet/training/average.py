"""The exponential moving average of what is trained: smoother than the weights of any one step.

After step t = 0, 1, ... it is average += share * (value - average), share = 1 at the first step
and 1 - min(0.9998, t / (9 + t)) then. That is the decay min(0.9998, (1 + n) / (10 + n)) which
TensorFlow's ExponentialMovingAverage takes at its update n = t - 1, having begun with the weights
of the first step. So it reaches back over a tenth of the steps made, and over 5,000 at most, the
horizon of Wightman's training recipes (timm, 0.9998): what a run begins with is soon forgotten,
be it short or long, without knowing how long it will be.
"""

from __future__ import annotations

AVERAGES = ("none", "ema")
LEAST_SHARE = 2e-4
HEAD_START = 9  # steps


def newest_share(step: int) -> float:
    """Return how much the average takes of the values that ``step`` (from 0) has left."""
    return max(LEAST_SHARE, HEAD_START / (HEAD_START + step))
