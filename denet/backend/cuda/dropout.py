"""Dropout, with the numbers that NumPy draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from denet.backend.cuda.cells import sample_grid
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.dropout import Dropout
from denet.graph.tensor_type import TensorType

DECIDED = 8  # numbers of a thread: a block of random bits decides on them, a byte remembers


class DropoutKernel(Kernel):
    """y = x mask / (1 - rate), the mask a function of sample key and salt; backward reads it."""

    name = "cuda dropout"
    forward_in_place = backward_in_place = ((0, 0),)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, Dropout)
        n, *shape = request.type().shape
        count = math.prod(shape)
        parts = -(-count // DECIDED)
        self._request = request
        self._grid = sample_grid(n, parts)
        self._count = np.int32(count)
        self._salt = np.uint64(op.salt)
        self._rate, self._scale = np.float32(op.rate), np.float32(1 / (1 - op.rate))
        if request.wanted:
            self.saved = (TensorType((n, parts), "uint8"),)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        if not self._request.training:
            return self._request.copy(inputs[0], outputs[0]) or in_order(())
        kept = saved[0] if saved else None
        keys = self._request.run.sample_keys
        numbers = [self._salt, self._count, self._rate, self._scale]
        return self._launch("dropout", [inputs[0], outputs[0], kept, keys, *numbers])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        arrays = [output_gradients[0], input_gradients[0], saved[0]]
        return self._launch("dropout_backward", [*arrays, self._count, self._scale])

    def _launch(self, name: str, arguments: list[Any]) -> Call:
        real = self._request.element(self._request.type())
        return self._request.launch("dropout.cu", name, self._grid, arguments, real=real)
