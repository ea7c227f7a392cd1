"""What a classifier says: the probability of each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.activation import by_warp
from denet.backend.cuda.cells import sample_grid
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order


class ClassProbabilityKernel(Kernel):
    """Two passes: the largest logit and the sum of each cell, then the mean over the cells."""

    name = "cuda class probability"

    def __init__(self, request: Request):
        n, h, w, classes = request.type().shape
        self._request = request
        self._cells, self._classes = h * w, classes
        self._grid = sample_grid(n, classes)
        self.forward_scratch = n * h * w * 2 * 4  # two float32 per cell

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        request, x = self._request, inputs[0]
        mean = request.launch(
            "softmax.cu",
            "mean_probability",
            self._grid,
            [x, scratch, outputs[0], np.int32(self._cells), np.int32(self._classes)],
            real=request.element(request.type()),
        )
        return in_order([by_warp(request, "extents", [x, scratch]), mean])
