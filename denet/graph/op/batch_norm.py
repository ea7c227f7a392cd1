"""Batch normalisation (Ioffe and Szegedy 2015), optionally with the ReLU behind it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.op.channel_sum import channel_sum
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class BatchNorm(Op):
    """y = gamma z + beta with z = (x - mean) / sqrt(variance + eps), per channel.

    Inputs x (n, h, w, c), gamma, beta, running mean, running variance (c,); outputs y, mean,
    variance. Training takes mean and biased variance over (n, h, w) of the batch, else the
    running ones are used and handed on. With m = n h w, g the gradient of y (0 where the fused
    ReLU gave 0) and sums over (n, h, w):
    gbeta = sum g; ggamma = sum g z; gx = gamma / sqrt(variance + eps) (g - gbeta/m - z ggamma/m).
    With ``statistics``, from fusion for training, mean and variance of the batch are two more
    inputs, which the convolution that wrote x gives, and y is the only output. gx is the same, the
    whole gradient of x: none goes by way of the two.
    (arXiv 1502.03167, section 3.)
    """

    eps: float
    activation: str | None = None  # None | "relu"
    statistics: bool = False

    backward_inputs = (0, 1)
    gradient_inputs = (0, 1, 2)

    @property
    def repeat_outputs(self) -> tuple[int, ...]:  # type: ignore[override]
        """Mean and variance, but where these are inputs."""
        return () if self.statistics else (1, 2)

    @property
    def backward_outputs(self) -> tuple[int, ...]:  # type: ignore[override]
        """The fused ReLU reads y to know where it was positive."""
        return (0,) if self.activation else ()

    def infer(self, *inputs: TensorType) -> Types:
        channels = inputs[0].shape[3:]
        assert len(inputs) == 5 + 2 * self.statistics
        assert all(one.shape == channels for one in inputs[1:]), inputs
        statistic = TensorType(channels, "float32")
        return inputs[0], *[statistic] * (0 if self.statistics else 2)

    def saved(self, *inputs: TensorType) -> Types:
        statistic = TensorType(inputs[0].shape[3:], "float32")
        return statistic, statistic  # mean, 1 / sqrt(variance + eps)

    def merge(
        self, shape: tuple[int, ...], mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Return the statistics to give out for those of a batch x of this shape."""
        return mean, variance

    def gradient_means(self, shape: tuple[int, ...], sums: np.ndarray) -> np.ndarray:
        """Return the means of g and g z over the batch for ``sums`` (2, c) of this x."""
        return sums / prod(shape[:3])

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x = inputs[0]
        statistics: tuple[np.ndarray, ...] = inputs[-2:]
        if run.training and not self.statistics:
            m = prod(x.shape[:3])
            mean = channel_sum(x) / m
            variance = channel_sum(np.square(x - mean.astype(x.dtype))) / m
            statistics = self.merge(x.shape, mean, variance)
        rounded = [] if self.statistics else [one.astype(x.dtype) for one in statistics]
        return self.repeat(run, inputs, (None, *rounded))

    def repeat(self, run: Run, inputs: Arrays, outputs: Arrays) -> tuple[Arrays, Arrays]:
        x, gamma, beta = inputs[:3]
        mean, variance = inputs[-2:] if self.statistics else outputs[1:3]
        y = x - mean
        inverse = 1 / np.sqrt(variance + self.eps)
        y *= inverse * gamma
        y += beta
        if self.activation:
            np.maximum(y, 0, out=y)
        return (y, *outputs[1:]), (mean, inverse)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        x, gamma = inputs[:2]
        mean, inverse = saved
        g = gradients[0] * (outputs[0] > 0) if self.activation else gradients[0]
        z = (x - mean) * inverse
        gbeta, ggamma = sums = np.stack([channel_sum(g), channel_sum(g * z)])
        means = self.gradient_means(x.shape, sums).astype(x.dtype)
        z *= means[1]
        z += means[0]
        gx = np.subtract(g, z, out=z)
        gx *= gamma * inverse
        return gx, ggamma.astype(x.dtype), gbeta.astype(x.dtype), *[None] * (len(inputs) - 3)
