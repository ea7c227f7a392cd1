"""Sparse sampling in the plan's own memory and precision; oneDNN has no such primitive."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.onednn.request import Request
from denet.bfloat16 import from_float32, to_float32
from denet.graph.kernel import Call, Kernel
from denet.graph.op.sparse_sample import SparseSample, gather, scatter, sides


class SparseSampleKernel(Kernel):
    """Copies whole rows of the map, bits in bf16; backward adds them up in float32."""

    name = "row copies"
    backward_inputs = (1,)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, SparseSample)
        self._op = op
        self._half = request.precision == "bf16" and request.node.inputs[0].type.dtype == "real"
        self._shape = request.node.inputs[0].shape

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        x, sample = inputs
        y = outputs[0].reshape(*sample.shape[:2], -1)

        def call() -> None:
            gather(x, self._cells(sample), y)
            y[..., -2:] = from_float32(sides(sample)) if self._half else sides(sample)

        return call

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        sample, gx = inputs[1], input_gradients[0]
        g = output_gradients[0].reshape(*sample.shape[:2], -1)[..., :-2]

        def call() -> None:
            for each, cells, place in zip(g, self._cells(sample), gx, strict=True):
                if self._half:
                    place[...] = from_float32(scatter(to_float32(each), cells, place.shape))
                else:
                    place[...] = scatter(each, cells, place.shape)

        return call

    def _cells(self, sample: np.ndarray) -> np.ndarray:
        return self._op.cells(sample, *self._shape[1:3])
