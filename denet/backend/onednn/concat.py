"""Tensors behind one another along the channels."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from denet.backend.onednn.memory import CHANNELS, Memory
from denet.backend.onednn.primitive import DST, MULTIPLE_SRC, SRC, Primitive, reorder
from denet.backend.onednn.request import Request
from denet.backend.onednn.weight import in_order
from denet.graph.kernel import Call, Kernel


class ConcatKernel(Kernel):
    """Backward copies the channels of each input out of the gradient."""

    def __init__(self, request: Request):
        shapes = [tensor.shape for tensor in request.node.inputs]
        self._xs = [request.input(index) for index in range(len(shapes))]
        self._y = request.output()
        handles = (ctypes.c_void_p * len(shapes))(*(x.handle.value for x in self._xs))
        self._forward = Primitive("concat", self._y, len(shapes), CHANNELS, handles)
        self.name = f"oneDNN {self._forward.implementation}"
        self.forward_scratch = self._forward.scratch
        channel = 0
        self._parts, self._copies = [], []
        for (n, h, w, c), x in zip(shapes, self._xs, strict=True):
            part = self._y.part((n, c, h, w), (0, channel, 0, 0))
            self._parts.append(part)
            self._copies.append(reorder(part, x))
            channel += c
        self.backward_scratch = max(copy.scratch for copy in self._copies)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        memories = {DST: Memory(self._y, outputs[0])}
        for index, (desc, x) in enumerate(zip(self._xs, inputs, strict=True)):
            memories[MULTIPLE_SRC + index] = Memory(desc, x)
        return self._forward.bind(memories, scratch)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        calls = []
        for index, gx in enumerate(input_gradients):
            if gx is not None:
                part = Memory(self._parts[index], output_gradients[0])
                memories = {SRC: part, DST: Memory(self._xs[index], gx)}
                calls.append(self._copies[index].bind(memories, scratch))
        return in_order(calls)
