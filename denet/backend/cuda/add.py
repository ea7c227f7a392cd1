"""Addition of two tensors, with the ReLU behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel
from denet.graph.op.add import Add


class AddKernel(Kernel):
    """y = a + b or relu(a + b); both inputs share one gradient."""

    name = "cuda add"
    forward_in_place = ((0, 0), (0, 1))
    backward_in_place = ((0, 0), (1, 0))

    def __init__(self, request: Request):
        assert isinstance(request.node.op, Add)
        self._request = request
        self._relu = bool(request.node.op.activation)
        self.backward_outputs = (0,) if self._relu else ()

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._launch("add", [*inputs, outputs[0]])

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
            return self._launch("relu_backward", [g, outputs[0], gx])
        return self._request.copy(g, gx)

    def _launch(self, name: str, arrays: list[Any]) -> Call:
        real = self._request.element(self._request.type())
        return self._request.by_vector("add.cu", name, arrays, RELU=int(self._relu), real=real)
