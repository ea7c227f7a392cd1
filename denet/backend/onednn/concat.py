"""Tensors behind one another along the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.onednn.memory import Memory
from denet.backend.onednn.primitive import DST, SRC, reorder
from denet.backend.onednn.request import Request
from denet.backend.onednn.weight import in_order
from denet.graph.kernel import Call, Kernel


class ConcatKernel(Kernel):
    """A copy of each input into its part; backward copies the parts of the gradient out.

    oneDNN's own concatenation is slower, by half where a map is joined with a narrow one. None of
    its fast convolutions and batch norms reads or writes a part of a map in place.
    """

    def __init__(self, request: Request):
        y = request.output()
        channel = 0
        self._xs, self._parts = [], []
        for index, tensor in enumerate(request.node.inputs):
            n, h, w, c = tensor.shape
            self._xs.append(request.input(index))
            self._parts.append(y.part((n, c, h, w), (0, channel, 0, 0)))
            channel += c
        pairs = list(zip(self._xs, self._parts, strict=True))
        self._joins = [reorder(x, part) for x, part in pairs]
        self._splits = [reorder(part, x) for x, part in pairs]
        self.name = f"oneDNN {self._joins[0].implementation}"
        self.forward_scratch = max(copy.scratch for copy in self._joins)
        self.backward_scratch = max(copy.scratch for copy in self._splits)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        calls = []
        for index, x in enumerate(inputs):
            part = Memory(self._parts[index], outputs[0])
            memories = {SRC: Memory(self._xs[index], x), DST: part}
            calls.append(self._joins[index].bind(memories, scratch))
        return in_order(calls)

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
                calls.append(self._splits[index].bind(memories, scratch))
        return in_order(calls)
