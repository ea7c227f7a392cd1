"""Transposed convolution: enlarges a map by learned filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.errors import DescriptionError
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.channel_sum import channel_sum
from denet.graph.op.correlation import correlate, correlate_adjoint, correlate_by_weight
from denet.graph.op.window import Padding, Pair
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Deconv(Op):
    """y[n, i*s + a - top, j*s + b - left, o] += x[n,i,j,c] w[o,c,a,b]; y += bias[o].

    Inputs: x (n, h, w, c), weight (o, c, kh, kw), bias (o,) where set. It is the adjoint of the
    convolution that takes the largest map (h*s + kh - 1 - top - bottom, ...) to (h, w), and that
    convolution takes g to gx. (Dumoulin and Visin 2016, A guide to convolution arithmetic, 4.)
    """

    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    bias: bool = False

    backward_inputs = (0, 1)
    gradient_inputs = (0, 1, 2)

    def infer(self, *inputs: TensorType) -> Types:
        assert len(inputs) == 2 + self.bias, inputs
        n, h, w, c = image(inputs[0])
        o, in_channels, kh, kw = inputs[1].shape
        assert c == in_channels, inputs
        height, width = self._size((h, w), (kh, kw))
        if height < 1 or width < 1:
            raise DescriptionError(
                f"Deconv: no row or column is left of a {kh}x{kw} window with padding "
                f"{self.padding} on x {inputs[0].shape}: use less padding"
            )
        return (TensorType((n, height, width, o), inputs[0].dtype),)

    def _size(self, map_size: Pair, window: Pair) -> Pair:
        """Return the height and width of y."""
        height, width = (
            length * stride + size - 1 - sum(border)
            for length, stride, size, border in zip(
                map_size, self.stride, window, self.padding, strict=True
            )
        )
        return height, width

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x, weight, *bias = inputs
        size = self._size(x.shape[1:3], weight.shape[2:])
        y = correlate_adjoint(x, weight.swapaxes(0, 1), self.stride, self.padding, size)
        return (y + bias[0] if self.bias else y.copy(),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        x, weight, g = inputs[0], inputs[1], gradients[0]
        gx = correlate(g, weight.swapaxes(0, 1), self.stride, self.padding)
        gbias = channel_sum(g).astype(g.dtype)
        gweight = correlate_by_weight(g, x, self.stride, self.padding, weight.shape[2:])
        return (gx, gweight.swapaxes(0, 1), gbias)[: len(inputs)]

    def flops(self, inputs: Types, outputs: Types) -> int:
        o, c, kh, kw = inputs[1].shape
        n, h, w, _ = image(inputs[0])
        return 2 * n * h * w * o * c * kh * kw
