"""The nearest enlargement of a map."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.cells import sample_grid, vector_size
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel
from denet.graph.op.pool_inverse import PoolInverse


class PoolInverseKernel(Kernel):
    """A thread has a cell of the small map and writes, or sums, its whole block."""

    name = "cuda pool inverse"

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, PoolInverse)
        n, height, width, channels = request.type().shape
        real = request.element(request.type())
        size = vector_size(4 if real == "float" else 2, channels)
        self._request = request
        self._defines: dict[str, Any] = {"real": real, "SIZE": size}
        self._grid = sample_grid(n, height * width * channels // size)
        self._numbers = [np.int32(number) for number in (height, width, channels, op.size)]

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._launch("pool_inverse", inputs[0], outputs[0])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._launch("pool_inverse_backward", output_gradients[0], input_gradients[0])

    def _launch(self, name: str, source: Any, target: Any) -> Call:
        arguments = [source, target, *self._numbers]
        return self._request.launch("pool_inverse.cu", name, self._grid, arguments, **self._defines)
