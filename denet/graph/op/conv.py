"""Convolution, in the sense of networks: cross-correlation with learned filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.channel_sum import centred, channel_sum
from denet.graph.op.correlation import correlate, correlate_adjoint, correlate_by_weight
from denet.graph.op.window import Padding, Pair, count_windows
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Conv(Op):
    """y[n,i,j,o] = sum x[n, i*s + a - top, j*s + b - left, c] w[o,c,a,b] + bias[o].

    Inputs: x (n, h, w, c), weight (o, c / groups, kh, kw), then bias (o,) and residual (like y)
    where set. With several groups, the q-th part of the filters sees the q-th part of the channels.
    With g the gradient of y: gx spreads g over the windows, x[i*s + a - top, ...] += g w;
    gw[o,c,a,b] = sum over n,i,j of x g; gbias = sum of g. ``residual`` and ``activation`` come
    from fusion for prediction, y = relu(conv + bias + residual), and have no gradient.
    ``statistics``, from fusion for training, adds the outputs mean and biased variance of y (o,)
    over (n, i, j), float32; what goes through them is in g already (see BatchNorm).
    """

    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    bias: bool = False
    residual: bool = False
    activation: str | None = None  # None | "relu"
    dtype: str = "real"  # of y; a float32 x gives a float32 y too
    groups: int = 1
    statistics: bool = False

    backward_inputs = (0, 1)
    gradient_inputs = (0, 1, 2)

    def infer(self, *inputs: TensorType) -> Types:
        assert len(inputs) == 2 + self.bias + self.residual, inputs
        x, weight = inputs[:2]
        o, c, kh, kw = weight.shape
        assert x.shape[3] == c * self.groups and o % self.groups == 0, (x, weight, self.groups)
        h, w = count_windows("Conv", x, (kh, kw), self.stride, self.padding)
        dtype = x.dtype if self.dtype == "real" else self.dtype
        statistic = TensorType((o,), "float32")
        return TensorType((x.shape[0], h, w, o), dtype), *[statistic] * (2 * self.statistics)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        y = correlate(inputs[0], inputs[1], self.stride, self.padding, self.groups)
        for term in inputs[2:]:
            y += term
        if self.activation:
            np.maximum(y, 0, out=y)
        return (y, *centred(y)[1:]) if self.statistics else (y,), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        assert not (self.residual or self.activation), "fused for prediction only"
        x, weight, g = inputs[0], inputs[1], gradients[0]
        gx = correlate_adjoint(g, weight, self.stride, self.padding, x.shape[1:3], self.groups)
        size = weight.shape[2:]
        gweight = correlate_by_weight(x, g, self.stride, self.padding, size, self.groups)
        gbias = channel_sum(g).astype(g.dtype)
        return (gx, gweight, gbias)[: len(inputs)]

    def flops(self, inputs: Types, outputs: Types) -> int:
        o, c, kh, kw = inputs[1].shape
        n, h, w, _ = image(outputs[0])
        return 2 * n * h * w * o * c * kh * kw
