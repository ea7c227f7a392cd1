"""BN: batch normalisation."""

from __future__ import annotations

from dataclasses import dataclass

from denet.graph.graph import Graph, Tensor
from denet.graph.initial import constant
from denet.graph.op.batch_norm import BatchNorm
from denet.kind import Fixed, Flag, Real
from denet.layer.base import Layer
from denet.layer.declare import argument, setting

MOMENTUM = Real(0.0, 1.0)
EPSILON = Real(0.0, 1.0, above=True)
UNUSED = "batch renormalisation is not applied"


@dataclass(kw_only=True)
class BatchNormalisation(Layer):
    """Batch normalisation: give each channel mean 0 and variance 1, then a learned scale and shift.

    y = gamma * (x - mean) / sqrt(variance + eps) + beta (Ioffe and Szegedy 2015). Training
    takes mean and variance of the batch and keeps running ones, which prediction takes.
    """

    symbol = "BN"
    type_name = "batchnorm"

    momentum: float = argument(MOMENTUM, "of the running statistics", 0.9)
    eps: float = argument(EPSILON, "added to the variance", 1e-5)
    renorm_max_r: float = argument(Fixed(1.0, UNUSED), "kept for files of 2017", 1.0)
    renorm_max_d: float = argument(Fixed(0.0, UNUSED), "kept for files of 2017", 0.0)
    renorm_max_it: float = argument(Fixed(0.0, UNUSED), "kept for files of 2017", 0.0)
    enabled: bool = setting(Flag(), "without it the layer does nothing", True)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        return normalise(graph, x, self.momentum, self.eps) if self.enabled else x


def normalise(
    graph: Graph, x: Tensor, momentum: float, eps: float, activation: str | None = None
) -> Tensor:
    """Normalise the channels of x with new parameters and running statistics.

    The running variance averages the unbiased estimate m / (m - 1) * variance over the
    m = n * h * w values of a channel.
    """
    n, height, width, channels = x.shape
    count = n * height * width
    gamma = graph.parameter("gamma", (channels,), constant(1.0))
    beta = graph.parameter("beta", (channels,), constant(0.0))
    running_mean = graph.state("mean", (channels,), constant(0.0))
    running_variance = graph.state("variance", (channels,), constant(1.0))
    y: Tensor
    y, mean, variance = graph.apply(
        BatchNorm(eps, activation), x, gamma, beta, running_mean, running_variance
    )
    graph.update(running_mean, mean, momentum)
    graph.update(running_variance, variance, momentum, count / max(count - 1, 1))
    return y
