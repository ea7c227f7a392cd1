"""Maps behind one another along the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.move import Move
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order


class ConcatKernel(Kernel):
    """A copy of each input into its part; backward copies the parts of the gradient out."""

    name = "cuda concat"

    def __init__(self, request: Request):
        y = request.node.outputs[0].type
        self._joins, self._splits = [], []
        first = 0
        for tensor in request.node.inputs:
            depth = tensor.shape[3]
            self._joins.append(Move(request, tensor.type, y, target_first=first, depth=depth))
            self._splits.append(Move(request, y, tensor.type, source_first=first))
            first += depth

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return in_order(
            [join.bind(x, outputs[0]) for join, x in zip(self._joins, inputs, strict=True)]
        )

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return in_order(
            [
                split.bind(output_gradients[0], gx)
                for split, gx in zip(self._splits, input_gradients, strict=True)
                if gx is not None
            ]
        )
