"""What training should find on a map of corners, and how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.cost import RESIDENT, add_parts
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order


class CornerTargetKernel(Kernel):
    """A block draws the map of an image."""

    name = "cuda corners"

    def __init__(self, request: Request):
        self._request = request

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        n, *shape = self._request.node.outputs[0].shape
        counts = map(np.int32, (self._request.type().shape[1], *shape))
        return _launch(self._request, "corner_target", n, [*inputs, outputs[0], *counts])


class CornerCellsKernel(Kernel):
    """The sum of a target, from those of blocks."""

    name = "cuda corners"

    def __init__(self, request: Request):
        self._request = request
        most = RESIDENT * request.device.processors
        self._blocks = min(blocks(request.type().size), most)
        self.forward_scratch = 4 * self._blocks

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert scratch is not None
        parts, total = scratch.view(np.float32), outputs[0]
        arguments = [inputs[0], parts, total[1:], np.int64(inputs[0].size)]
        look = _launch(self._request, "corner_cells", self._blocks, arguments)
        return in_order([look, add_parts(self._request, parts, 1.0, total[:1])])


def _launch(request: Request, name: str, grid: int, arguments: list[Any]) -> Call:
    return request.launch("corner_target.cu", name, grid, arguments, real="float")
