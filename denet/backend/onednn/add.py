"""Addition of two tensors, with the ReLU behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.onednn.activation import RELU, eltwise_backward
from denet.backend.onednn.memory import Memory
from denet.backend.onednn.primitive import (
    BINARY_ADD,
    DIFF_DST,
    DIFF_SRC,
    DST,
    SRC,
    SRC_1,
    PostOps,
    Primitive,
    reorder,
)
from denet.backend.onednn.request import Request
from denet.graph.kernel import Call, Kernel
from denet.graph.op.add import Add


class AddKernel(Kernel):
    """y = a + b or relu(a + b); both inputs share one gradient."""

    forward_in_place = ((0, 0), (0, 1))
    backward_in_place = ((0, 0), (1, 0))

    def __init__(self, request: Request):
        assert isinstance(request.node.op, Add)
        self._relu = bool(request.node.op.activation)
        x = self._x = request.input()
        post_ops = PostOps().relu() if self._relu else None
        self._forward = Primitive("binary", BINARY_ADD, x, x, x, post_ops=post_ops)
        self.name = f"oneDNN {self._forward.implementation}"
        self.forward_scratch = self._forward.scratch
        self.backward_outputs = (0,) if self._relu else ()
        if request.wanted:
            self._backward = eltwise_backward(request, RELU) if self._relu else reorder(x, x)
            self.backward_scratch = self._backward.scratch

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        first, second = inputs
        if outputs[0].ctypes.data == second.ctypes.data:  # in place works on the first only
            first, second = second, first
        return self._bind(self._forward, {SRC: first, SRC_1: second, DST: outputs[0]}, scratch)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call | None:
        g = output_gradients[0]
        gx = next(array for array in input_gradients if array is not None)
        if self._relu:
            arrays = {DST: outputs[0], DIFF_DST: g, DIFF_SRC: gx}
        elif g.ctypes.data == gx.ctypes.data:
            return None
        else:
            arrays = {SRC: g, DST: gx}
        return self._bind(self._backward, arrays, scratch)

    def _bind(
        self, primitive: Primitive, arrays: dict[int, np.ndarray], scratch: np.ndarray | None
    ) -> Call:
        memories = {index: Memory(self._x, array) for index, array in arrays.items()}
        return primitive.bind(memories, scratch)
