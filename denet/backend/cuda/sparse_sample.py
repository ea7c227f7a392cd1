"""Sparse sampling: features read at the points of boxes, gradients pulled by the cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import Request, Unserved
from denet.graph.kernel import Call, Kernel
from denet.graph.op.sparse_sample import SparseSample

WARPS = THREADS // 32  # cells of a block of the backward kernel
FEW = 4  # words of features that a lane of it sums
LARGEST_GRID = 64


class SparseSampleKernel(Kernel):
    """Forward copies bits; backward adds in float32, in the order of boxes and points."""

    name = "cuda sparse sample"
    backward_inputs = (1,)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, SparseSample)
        if op.grid_size > LARGEST_GRID:
            raise Unserved(f"a grid beyond {LARGEST_GRID} x {LARGEST_GRID}")
        self._request = request
        _, height, width, self._features = request.type(0).shape
        self._sizes = request.type(1).shape[1], height, width, self._features, op.grid_size
        self._word = 1 if self._features % 2 else 2  # features moved at once

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        n, boxes, _ = self._request.type(1).shape
        return self._launch("gather", n * boxes, [*inputs, outputs[0]])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call | None:
        n, height, width, _ = self._request.type(0).shape
        tiles = blocks(self._features, 32 * FEW * self._word)
        grid = blocks(width, WARPS), height, n * tiles
        arrays = [output_gradients[0], inputs[1], input_gradients[0]]
        return self._launch("pull", grid, arrays)

    def _launch(self, name: str, grid: int | tuple[int, int, int], arrays: list[Any]) -> Call:
        arguments = [*arrays, *map(np.int32, self._sizes)]
        return self._request.launch(
            "sparse_sample.cu",
            f"{name}_{self._word}",
            grid,
            arguments,
            FEW=FEW,
            LARGEST_GRID=LARGEST_GRID,
        )
