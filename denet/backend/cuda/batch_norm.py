"""Batch normalisation with the ReLU behind it."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np

from denet.backend.cuda.request import THREADS, VECTOR_BYTES, Request, blocks
from denet.backend.cuda.scratch import Scratch
from denet.backend.cuda.statistics import Statistics
from denet.graph.graph import TensorType
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.batch_norm import BatchNorm

MOST_COLUMNS = 32  # of a block: neighbouring threads of one row
BLOCKS = 12  # of a multiprocessor, which runs 3 or 4 at a time
LEAST_ROWS = 4  # of a thread, where there are enough
MERGED = 8  # channels of a block that merges: as in batch_norm.cu


@dataclass(frozen=True)
class Tiles:
    """How the blocks of a launch share x (rows, channels): see batch_norm.cu."""

    rows: int
    channels: int
    width: int  # channels of a thread
    columns: int  # threads side by side
    across: int  # blocks side by side
    height: int  # rows of a block
    parts: int  # blocks one below the other

    @classmethod
    def of(cls, type_: TensorType, itemsize: int, processors: int) -> Tiles:
        """Cover an activation with whole rounds of blocks, where it is large."""
        rows, channels = prod(type_.shape[:3]), type_.shape[3]
        width = gcd(channels, VECTOR_BYTES // itemsize)
        across = blocks(channels // width, MOST_COLUMNS)
        columns = blocks(channels // width, across)
        parts = min(
            blocks(BLOCKS * processors, across), blocks(rows, THREADS // columns * LEAST_ROWS)
        )
        height = blocks(rows, parts)
        return cls(rows, channels, width, columns, across, height, blocks(rows, height))


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
        itemsize = 4 if request.real == "float" else 2
        self._tiles = t = Tiles.of(request.type(), itemsize, request.device.processors)
        self._given = op.statistics
        if self._given:
            self.backward_inputs = (0, 1, 2, 5, 6)
            self.backward_outputs = self.repeat_outputs = ()
        elif request.training:
            scratch = Scratch()
            sizes = t.rows, t.channels, t.height
            self._statistics = Statistics(request, scratch, *sizes, request.real)
            self.forward_scratch = scratch.nbytes
        self.backward_scratch = 8 * (t.parts + 1) * t.channels

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
        look = self._by_tile("statistics", [x, *self._statistics.parts(scratch)])
        join = self._statistics.join(x, mean, variance, scratch)
        return in_order([look, *join, self.repeat(inputs, outputs, saved, scratch)])

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
        calls.append(self._launch("merge_gradients", across, arguments))
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
        t = self._tiles
        counts = map(np.int32, (t.rows, t.channels, t.columns, t.height))
        return self._launch(name, (t.parts, t.across, 1), [*arguments, *counts])

    def _launch(self, name: str, grid: tuple[int, int, int], arguments: list[Any]) -> Call:
        return self._request.launch("batch_norm.cu", name, grid, arguments, WIDTH=self._tiles.width)
