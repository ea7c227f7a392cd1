"""What a detector says of its samples, and what they have found."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.activation import by_warp
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.coverage import Coverage


class DetectionProbabilityKernel(Kernel):
    """The softmax of each sample."""

    name = "cuda probability"

    def __init__(self, request: Request):
        self._request = request

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return by_warp(self._request, "softmax", [inputs[0], outputs[0]])


class DecodeBoxKernel(Kernel):
    """Samples moved by their regression."""

    name = "cuda boxes"

    def __init__(self, request: Request):
        self._request = request

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        *regression, sample = inputs
        count = sample.size // 4
        moved = regression[0] if regression else None
        arguments = [moved, sample, outputs[0], np.int64(count)]
        return _launch(self._request, "decode", blocks(count), arguments)


class CoverageKernel(Kernel):
    """Counts by image, then of all."""

    name = "cuda coverage"

    def __init__(self, request: Request):
        assert isinstance(request.node.op, Coverage)
        self._request = request
        self._overlap = np.float32(request.node.op.overlap)
        self.forward_scratch = 8 * request.type().shape[0]

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert scratch is not None
        counts = scratch.view(np.int32)
        n, samples, _ = self._request.type().shape
        sizes = np.int32(samples), np.int32(self._request.type(1).shape[1])
        look = _launch(self._request, "coverage", n, [*inputs, counts, *sizes, self._overlap])
        add = [counts, np.int32(n), outputs[0]]
        return in_order([look, _launch(self._request, "add_counts", 1, add)])


def _launch(request: Request, name: str, grid: int, arguments: list[Any]) -> Call:
    return request.launch("detection.cu", name, grid, arguments, real="float")
