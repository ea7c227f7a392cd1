"""Convolution: forward, by data, by weights and bias; residual and ReLU fused for prediction.

In training the blocks of the forward product also tell mean and squares of each channel of their
own tiles, as they store them. The same step joins these to the statistics of y, two outputs of the
node, which the batch norm behind it takes in the place of a pass over y. Where no block holds whole
tiles of y, such as of a depth in parts, the step passes over y itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from denet.backend.cuda.conv_depthwise import DepthwiseProducts, is_depthwise
from denet.backend.cuda.conv_exact import ExactProducts
from denet.backend.cuda.conv_geometry import Geometry
from denet.backend.cuda.conv_parts import ChannelSum
from denet.backend.cuda.conv_tensor import TensorProducts, on_tensor_cores
from denet.backend.cuda.request import Request, Unserved
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.statistics import Statistics
from denet.backend.cuda.weight import CONV, DEPTHWISE, WeightLayout
from denet.graph.kernel import Call, Kernel, Layout, in_order


class ConvKernel(Kernel):
    """Inputs x, weight, then bias and residual where set."""

    backward_inputs = (0, 1)
    maps: ClassVar[tuple[str, str]] = ("large", "small")  # what x and y are to the geometry
    products: ClassVar[tuple[str, str]] = ("correlate", "adjoint")  # forward, by data
    axes: ClassVar[tuple[int, ...]] = CONV

    def __init__(self, request: Request):
        op: Any = request.node.op
        inputs, y = request.node.inputs, request.node.outputs[0]
        geometry = Geometry.of(request.node)
        tensor_cores = on_tensor_cores(request, geometry)
        depthwise = is_depthwise(geometry)
        ways = (DepthwiseProducts, depthwise), (TensorProducts, tensor_cores), (ExactProducts, True)
        make: Any = next(way for way, serves in ways if serves)
        axes = DEPTHWISE if depthwise else self.axes
        self._layout = self._choose_layout(request, axes, tensor_cores)
        self._bias = 2 if op.bias else None
        self._residual = len(inputs) - 1 if getattr(op, "residual", False) else None
        self._rectified = bool(getattr(op, "activation", None))
        types = request.element(inputs[0].type), request.element(y.type)
        elements = dict(zip(self.maps, types, strict=True))
        elements["weight"] = "bf16" if self._layout.half else "float"
        forward, backward = Scratch(), Scratch()
        self._forward = make(request, geometry, elements, [self.products[0]], forward)
        self._statistics = None
        if getattr(op, "statistics", False):
            height = self._forward.measured_rows
            self._statistics = Statistics(request, forward, y.type, types[1], height)
            self.repeat_outputs = (1, 2)
        self._wanted = request.wanted
        gradients = (self.products[1], "by_weight")
        products = [gradients[index] for index in (0, 1) if index in self._wanted]
        self._backward = make(request, geometry, elements, products, backward)
        if 2 in self._wanted:
            self._by_bias = ChannelSum(request, backward, y.shape, types[1])
        self.forward_scratch, self.backward_scratch = forward.nbytes, backward.nbytes
        self.name = f"cuda convolution, {self._forward.name}"
        # where x itself is the residual, y may not overwrite it before it is read
        if self._residual and inputs[self._residual] is not inputs[0]:
            self.forward_in_place = ((0, self._residual),)

    def layouts(self) -> dict[int, Layout]:
        return {1: self._layout}

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        if not self._statistics:
            return self.repeat(inputs, outputs, saved, scratch)
        y, mean, variance = outputs
        product = self._product(inputs, y, scratch, self._statistics.parts(scratch))
        return in_order([product, *self._statistics.join(y, mean, variance, scratch)])

    def repeat(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._product(inputs, outputs[0], scratch)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        gy = output_gradients[0]
        arrays = {self.maps[0]: inputs[0], self.maps[1]: gy, "weight": inputs[1]}
        arrays, calls = self._backward.prepare(arrays, scratch)
        if 0 in self._wanted:
            given = arrays[self.maps[1]], arrays["weight"], input_gradients[0], scratch
            calls += self._backward.gather(self.products[1], *given)
        if 1 in self._wanted:
            large, small = arrays["large"], arrays["small"]
            calls += self._backward.by_weight(large, small, input_gradients[1], scratch)
        if 2 in self._wanted:
            calls += self._by_bias.bind(gy, input_gradients[2], scratch)
        return in_order(calls)

    def _product(
        self, inputs: list[Any], y: Any, scratch: Any, parts: list[Any] | None = None
    ) -> Call:
        """Bind y, and the statistics of its parts where they have a place."""
        arrays = {self.maps[0]: inputs[0], "weight": inputs[1]}
        arrays, calls = self._forward.prepare(arrays, scratch)
        bias = inputs[self._bias] if self._bias else None
        source, weight = arrays[self.maps[0]], arrays["weight"]
        if parts:
            return in_order([*calls, self._forward.measure(source, weight, y, bias, parts)])
        residual = inputs[self._residual] if self._residual else None
        given = source, weight, y, scratch, bias, residual, self._rectified
        return in_order([*calls, *self._forward.gather(self.products[0], *given)])

    def _choose_layout(
        self, request: Request, axes: tuple[int, ...], tensor_cores: bool
    ) -> WeightLayout:
        """Return the layout given, or float32; bf16 for prediction, where no weight changes."""
        weight = request.node.inputs[1]
        half = tensor_cores and not request.training
        layout = request.layouts.get(weight) or WeightLayout(weight.shape, axes, half)
        unfit = not tensor_cores or 1 in request.wanted
        if not isinstance(layout, WeightLayout) or (layout.half and unfit):
            raise Unserved("another kernel has laid out the weights")
        return layout
