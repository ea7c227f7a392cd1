"""Pooling: the maximum or the mean of windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.cells import MOST_SAMPLES, sample_grid, vector_size
from denet.backend.cuda.device import Grid
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel
from denet.graph.op.pool import Pool
from denet.graph.tensor_type import TensorType

LARGE = 32  # cells of a window from which on a block takes one, not a thread
LANES = 32  # channels of such a block


class PoolKernel(Kernel):
    """Backward gathers for each cell of x what the windows over it give: nothing is added twice.

    The maximum keeps where it lay, one byte for most windows, which is less than reading x again.
    """

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, Pool)
        x, y = request.type(), request.node.outputs[0].type
        n, height, width, channels = x.shape
        _, out_height, out_width, _ = y.shape
        self.name = f"cuda pool {op.mode}"
        self._request = request
        self._function = f"pool_{op.mode}"
        self._size = vector_size(4 if request.element(x) == "float" else 2, channels)
        self._numbers = [
            np.int32(number)
            for number in (
                *(channels, height, out_height, op.size[0], op.stride[0]),
                *(width, out_width, op.size[1], op.stride[1], op.padding),
            )
        ]
        self._defines: dict[str, Any] = {"real": request.element(x), "SIZE": self._size}
        if op.mode == "max":
            small = op.size[0] * op.size[1] <= 256
            self._defines["INDEX"] = "unsigned char" if small else "int"
            if request.wanted:
                self.saved = (TensorType(y.shape, "uint8" if small else "int32"),)
        self._forward, self._forward_grid = self._function, self._grid_over(y)
        self._backward_grid = self._grid_over(x)
        windows = out_height * out_width
        if op.mode == "mean" and op.size[0] * op.size[1] >= LARGE and windows <= MOST_SAMPLES:
            self._forward = "pool_mean_large"
            self._forward_grid = blocks(channels, LANES), windows, n

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        arrays = [inputs[0], outputs[0]]
        if "INDEX" in self._defines:
            arrays.append(saved[0] if saved else None)
        return self._launch(self._forward, self._forward_grid, arrays)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        arrays = [output_gradients[0], *saved, input_gradients[0]]
        return self._launch(f"{self._function}_backward", self._backward_grid, arrays)

    def _grid_over(self, map_: TensorType) -> Grid:
        n, height, width, channels = map_.shape
        return sample_grid(n, height * width * channels // self._size)

    def _launch(self, name: str, grid: Grid, arrays: list[Any]) -> Call:
        arguments = [*arrays, *self._numbers]
        return self._request.launch(f"{self._function}.cu", name, grid, arguments, **self._defines)
