"""Convolution: forward, by data and by weights; with residual and ReLU fused for prediction."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from denet.backend.onednn.choice import (
    is_not_brgconv,
    is_wide_jit,
    needs_clean_scratch,
    overruns_rows,
    prefers_jit,
    takes_patches,
)
from denet.backend.onednn.memory import ANY, F32, Memory, MemoryDesc, Scratch
from denet.backend.onednn.patch_product import PatchProduct
from denet.backend.onednn.primitive import (
    BIAS,
    DIFF_BIAS,
    DIFF_DST,
    DIFF_SRC,
    DIFF_WEIGHTS,
    DIFF_WEIGHTS_MD,
    DST,
    SRC,
    WEIGHTS,
    WEIGHTS_MD,
    PostOps,
    Primitive,
    Unserved,
)
from denet.backend.onednn.request import Request
from denet.backend.onednn.weight import Stage, WeightLayout, grouped, in_order, plain_weights
from denet.graph.kernel import Call, Kernel, Layout


class ConvKernel(Kernel):
    """Inputs x, weight, then bias and residual where set.

    In training the weights are float32 in the order that the product by weights writes, so that
    gradients need no copy; forward and the product by data read copies in their own order and
    precision. In prediction the weights are stored as forward reads them.
    """

    primitive = "convolution"
    algorithm = 1  # dnnl_convolution_direct
    backward_inputs = (0, 1)

    def __init__(self, request: Request):
        op: Any = request.node.op
        inputs = request.node.inputs
        self._shape, self._groups = inputs[1].shape, getattr(op, "groups", 1)
        self._bias = MemoryDesc.vector(self._shape[0]) if op.bias else None
        self._residual = len(inputs) - 1 if getattr(op, "residual", False) else None
        self._activation = getattr(op, "activation", None)
        (top, bottom), (left, right) = op.padding
        self._window = op.stride, (0, 0), (top, left), (bottom, right)
        self._x, self._y = request.input(), request.output()
        # logits are float32 in every precision; products take their gradient in the plan's
        self._gy = MemoryDesc.activation(request.node.outputs[0].shape, request.real)
        self._create(request)
        by_primitive = isinstance(self._by_weight, Primitive)
        self._clean_scratch = by_primitive and needs_clean_scratch(request)
        self._layout = self._given_layout(request) or self._best_layout(request)
        self._lay_out_scratch()
        primitives = (self._forward, self._by_data, self._by_weight)
        names = [primitive.implementation for primitive in primitives if primitive]
        self.name = f"oneDNN {', '.join(dict.fromkeys(names))}"
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
        weight, calls = self._forward_weight.bind(inputs[1], scratch)
        memories = {SRC: Memory(self._x, inputs[0]), WEIGHTS: weight}
        memories[DST] = Memory(self._y, outputs[0])
        if self._bias:
            memories[BIAS] = Memory(self._bias, inputs[2])
        if self._residual:
            y, residual = outputs[0], inputs[self._residual]
            if y.ctypes.data != residual.ctypes.data:
                calls.append(lambda: np.copyto(y, residual))
        return in_order([*calls, self._forward.bind(memories, scratch, self._forward_work)])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        gy, calls = self._gradient.bind(output_gradients[0], scratch)
        if self._by_data:
            weight, copies = self._data_weight.bind(inputs[1], scratch)
            gx = Memory(self._x, input_gradients[0])
            memories = {DIFF_DST: gy, WEIGHTS: weight, DIFF_SRC: gx}
            calls += [*copies, self._by_data.bind(memories, scratch, self._backward_work)]
        if self._by_weight:
            gweight, copies = self._weight_gradient.bind(input_gradients[1], scratch)
            memories = {SRC: Memory(self._x, inputs[0]), DIFF_DST: gy, DIFF_WEIGHTS: gweight}
            if self._bias:
                memories[DIFF_BIAS] = Memory(self._bias, input_gradients[2])
            if self._clean_scratch and scratch is not None:
                calls.append(partial(scratch[self._backward_work].fill, 0))
            calls += [self._by_weight.bind(memories, scratch, self._backward_work), *copies]
        return in_order(calls)

    def _create(self, request: Request) -> None:
        """Create the primitives that are wanted, each free to choose its order of weights."""
        weight = MemoryDesc.of(grouped(self._shape, self._groups), request.real, ANY)
        post_ops = PostOps()
        if self._residual:
            post_ops.add_destination()
        if self._activation:
            post_ops.relu()
        forward = request.kind, self.algorithm, self._x, weight, self._bias, self._y, *self._window
        self._forward = self._primitive("forward", forward, request, post_ops)
        self._by_data = self._by_weight = None
        if 0 in request.wanted:
            operands = self.algorithm, self._x, weight, self._gy, *self._window, self._forward
            self._by_data = self._primitive("backward_data", operands, request)
        if 1 in request.wanted:
            self._by_weight = self._product_by_weight(request)

    def _primitive(
        self,
        direction: str,
        operands: tuple[Any, ...],
        request: Request,
        post_ops: PostOps | None = None,
    ) -> Primitive:
        kind = f"{self.primitive}_{direction}"
        if prefers_jit(direction, request):
            with suppress(Unserved):
                return Primitive(kind, *operands, post_ops=post_ops, accept=is_wide_jit)
        if overruns_rows(direction, request):
            return Primitive(kind, *operands, post_ops=post_ops, accept=is_not_brgconv)
        return Primitive(kind, *operands, post_ops=post_ops)

    def _product_by_weight(self, request: Request) -> Primitive | PatchProduct:
        if takes_patches(request):
            return PatchProduct(request)
        gradient = MemoryDesc.of(grouped(self._shape, self._groups), F32, ANY)
        operands = self._x, gradient, self._bias, self._gy, *self._window, self._forward
        return Primitive(f"{self.primitive}_backward_weights", self.algorithm, *operands)

    def _given_layout(self, request: Request) -> WeightLayout | None:
        """Return the layout that another plan gave these weights, if there is one."""
        given = request.layouts.get(request.node.inputs[1])
        if given is None or isinstance(given, WeightLayout):
            return given
        return self._order(plain_weights(self._shape, self._groups), F32)

    def _best_layout(self, request: Request) -> WeightLayout:
        if self._by_weight:
            return self._order(self._by_weight.md(DIFF_WEIGHTS_MD), F32)
        if request.training and request.real != F32:
            # frozen weights stay exact, since they are saved again
            return self._order(plain_weights(self._shape, self._groups), F32)
        return self._order(self._forward.md(WEIGHTS_MD), request.real)

    def _order(self, desc: MemoryDesc, dtype: int) -> WeightLayout:
        return WeightLayout(self._shape, desc, dtype, self._groups)

    def _lay_out_scratch(self) -> None:
        """Provide for copies in other orders, and for the work of the primitives."""
        assert isinstance(self._layout, WeightLayout)
        stored = self._layout.desc
        forward, backward = Scratch(), Scratch()
        self._forward_weight = Stage(stored, self._forward.md(WEIGHTS_MD), forward)
        self._forward_work = forward.reserve(self._forward.scratch)
        self._gradient = Stage(self._y, self._gy, backward)
        if self._by_data:
            self._data_weight = Stage(stored, self._by_data.md(WEIGHTS_MD), backward)
        if self._by_weight:
            order = self._by_weight.md(DIFF_WEIGHTS_MD)
            self._weight_gradient = Stage(stored, order, backward, written=True)
        primitives = [one for one in (self._by_data, self._by_weight) if one]
        self._backward_work = backward.reserve(max((p.scratch for p in primitives), default=0))
        self.forward_scratch, self.backward_scratch = forward.nbytes, backward.nbytes
