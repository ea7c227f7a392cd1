"""Local response normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from denet.backend.cuda.cells import sample_grid
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.local_response import LocalResponse


class LocalResponseKernel(Kernel):
    """Backward takes two passes: what each number gives to its neighbours, then their sum."""

    name = "cuda local response"
    backward_inputs = (0,)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, LocalResponse)
        n, *shape = request.type().shape
        count = math.prod(shape)
        self._request = request
        self._grid = sample_grid(n, count)
        self._numbers = [
            *map(np.int32, (count, shape[2] // op.groups, op.size // 2)),
            *map(np.float32, (op.kappa, op.alpha, op.beta)),
        ]
        self.backward_scratch = 4 * n * count

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._launch("local_response", [inputs[0], outputs[0]])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        arrays = [inputs[0], output_gradients[0], scratch]
        return in_order(
            [
                self._launch("local_response_shares", arrays),
                self._launch("local_response_backward", [*arrays, input_gradients[0]]),
            ]
        )

    def _launch(self, name: str, arrays: list[Any]) -> Call:
        real = self._request.element(self._request.type())
        arguments = [*arrays, *self._numbers]
        return self._request.launch("local_response.cu", name, self._grid, arguments, real=real)
