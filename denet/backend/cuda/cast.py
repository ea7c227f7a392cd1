"""float32 to the precision of the plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order

SIZE = 8  # numbers of a thread: a vector in bf16, two in f32


class CastKernel(Kernel):
    """y = x, rounded to nearest even; gx = g. In f32 nothing but a copy, or not even that."""

    name = "cuda cast"

    def __init__(self, request: Request):
        self._request = request
        self._x = request.element(request.type())
        self._y = request.element(request.node.outputs[0].type)
        if self._x == self._y:
            self.forward_in_place = self.backward_in_place = ((0, 0),)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._cast(inputs[0], self._x, outputs[0], self._y)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._cast(output_gradients[0], self._y, input_gradients[0], self._x)

    def _cast(self, source: Any, source_type: str, target: Any, target_type: str) -> Call:
        if source_type == target_type:
            return self._request.copy(source, target) or in_order(())
        count = source.size
        return self._request.launch(
            "cast.cu",
            "cast",
            blocks(count, THREADS * SIZE),
            [source, target, np.float32(1), np.int64(count)],
            FROM=source_type,
            TO=target_type,
            SIZE=SIZE,
        )
