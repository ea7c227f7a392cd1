"""Batch normalisation with the ReLU behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.batch_norm_tiles import FILE, Tiles
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.request import Request
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.statistics import Statistics
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.batch_norm import BatchNorm

MERGED = 8  # channels of a block that merges: as in batch_norm.cu


class BatchNormKernel(Kernel):
    """Statistics are float32, from parts of x, or those that the convolution which wrote it gives.

    Where the ReLU cut, backward tells from x, as forward did: y is not read, nor kept for it.
    """

    name = "cuda batch norm"
    backward_inputs: tuple[int, ...] = (0, 1, 2)
    backward_outputs: tuple[int, ...] = (1, 2)
    repeat_outputs: tuple[int, ...] = (1, 2)
    forward_in_place = ((0, 0),)
    backward_in_place = ((0, 0),)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, BatchNorm)
        self._request = request
        # what is added to the variance, and what y is at least
        self._settings = np.float32(op.eps), np.float32(0 if op.activation else -np.inf)
        self._tiles = Tiles.of(request.type(), request.real, request.device.processors)
        self._given = op.statistics
        if self._given:
            self.backward_inputs = (0, 1, 2, 5, 6)
            self.backward_outputs = self.repeat_outputs = ()
        elif request.training:
            scratch = Scratch()
            self._statistics = Statistics(request, scratch, request.type(), request.real)
            self.forward_scratch = scratch.nbytes
        self.backward_scratch = 8 * (self._tiles.parts + 1) * self._tiles.channels

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        if self._given:
            return self.repeat(inputs, outputs, saved, scratch)
        if not self._request.training:
            return self._normalise(inputs, inputs[3:], outputs[0], outputs[1:])
        x, (_, mean, variance) = inputs[0], outputs
        look = self._statistics.join(x, mean, variance, scratch)
        return in_order([*look, self.repeat(inputs, outputs, saved, scratch)])

    def repeat(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        statistics = self._of_batch(inputs, outputs)
        return self._normalise(inputs, statistics, outputs[0], [None, None])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert scratch is not None
        t = self._tiles
        vectors = scratch.view(np.float32).reshape(-1, t.channels)
        partial = vectors[: t.parts], vectors[t.parts : 2 * t.parts]
        gx, ggamma, gbeta = input_gradients[:3]
        gbeta, ggamma = (
            vectors[place] if gradient is None else gradient
            for place, gradient in ((-2, gbeta), (-1, ggamma))
        )
        maps = [inputs[0], output_gradients[0]]
        line = [*inputs[1:3], *self._of_batch(inputs, outputs)]
        calls = [self._by_tile("gradient_sums", [*maps, *line, *partial, *self._settings])]
        counts = map(np.int32, (t.channels, t.parts))
        across = blocks(t.channels, MERGED), 1, 1
        arguments = [*partial, gbeta, ggamma, *counts]
        launch = self._request.launch
        calls.append(launch(FILE, "merge_gradients", across, arguments, WIDTH=t.width))
        if gx is not None:
            arrays = [*maps, *line, gbeta, ggamma, gx]
            calls.append(self._by_tile("input_gradient", [*arrays, *self._settings]))
        return in_order(calls)

    def _of_batch(self, inputs: list[Any], outputs: list[Any]) -> list[Any]:
        return inputs[5:] if self._given else outputs[1:]

    def _normalise(
        self, inputs: list[Any], statistics: list[Any], y: Any, next_: list[Any]
    ) -> Call:
        arrays = [*inputs[:3], *statistics, y, *next_]
        return self._by_tile("normalise", [*arrays, *self._settings])

    def _by_tile(self, name: str, arguments: list[Any]) -> Call:
        return self._tiles.launch(self._request, name, arguments, self._request.real)
