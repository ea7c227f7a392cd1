"""Costs: a sum over rows or cells, and the gradient that forward leaves for backward to scale."""

from __future__ import annotations

from math import log, prod
from typing import Any

import numpy as np

from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.base import GradientSaving
from denet.graph.op.box_regression import BoxRegression
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.detection_cross_entropy import FITNESS_BINS, DetectionCrossEntropy
from denet.graph.op.fitness_cross_entropy import FitnessCrossEntropy
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy

WARPS = THREADS // 32  # of a block, each with a row
RESIDENT = 8  # blocks that run on a multiprocessor at a time
DECIDED = 8  # cells of a thread of corner_cross_entropy.cu


def add_parts(request: Request, parts: Any, scale: float, total: Any) -> Call:
    """Bind total = scale * the sum of ``parts``, always added in the same order."""
    arguments = [parts, np.int32(parts.size), np.float32(scale), total]
    return request.launch("cost.cu", "add_parts", 1, arguments, real="float")


def row_blocks(request: Request, rows: int) -> int:
    """Return how many blocks share rows, each the work of a warp."""
    return min(blocks(rows, WARPS), RESIDENT * request.device.processors)


class CostKernel(Kernel):
    """A GradientSaving: ``file`` writes the gradient, and parts of the cost by block."""

    name = "cuda cost"
    file: str

    def __init__(self, request: Request):
        assert isinstance(request.node.op, GradientSaving)
        self._request = request
        self._grid = self.grid()
        gradient = request.type()
        assert gradient.dtype == "float32", gradient
        self.saved = (gradient,) if request.wanted else ()
        self._unsaved = 0 if self.saved else gradient.size
        self.forward_scratch = 4 * (self._unsaved + prod(self._grid))

    def grid(self) -> tuple[int, int, int]:
        """Return how many blocks share the work."""
        return row_blocks(self._request, prod(self._request.type().shape[:3])), 1, 1

    def numbers(self) -> list[Any]:
        """Return what the kernel takes behind its arrays, up to ``scale``."""
        raise AssertionError("abstract")

    def scale(self) -> tuple[float, float]:
        """Return what a unit of the gradient counts, and one of the parts."""
        raise AssertionError("abstract")

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert scratch is not None
        work = scratch.view(np.float32)
        gradient, parts = saved[0] if saved else work[: self._unsaved], work[self._unsaved :]
        by_element, by_part = self.scale()
        arguments = [*inputs, gradient, parts, *self.numbers(), np.float32(by_element)]
        look = self._request.launch(self.file, "cost", self._grid, arguments, real="float")
        return in_order([look, add_parts(self._request, parts, by_part, outputs[0])])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        arrays = [saved[0], input_gradients[0], output_gradients[0]]
        return self._request.by_vector("cost.cu", "scale", arrays, real="float")


class CornerCrossEntropyKernel(CostKernel):
    """Cells are dropped by the numbers that NumPy draws."""

    file = "corner_cross_entropy.cu"

    def __init__(self, request: Request):
        assert isinstance(request.node.op, CornerCrossEntropy)
        self._op = request.node.op
        self._dropout = self._op.dropout if request.training else 0.0
        super().__init__(request)

    def grid(self) -> tuple[int, int, int]:
        n, *shape = self._request.type().shape
        return blocks(prod(shape), DECIDED * THREADS), n, 1

    def numbers(self) -> list[Any]:
        count = np.int32(prod(self._request.type().shape[1:]))
        keys = self._request.run.sample_keys
        return [keys, np.uint64(self._op.salt), count, np.float32(self._dropout)]

    def scale(self) -> tuple[float, float]:
        size = self._request.type().size
        return self._op.factor / (size * log(2)) / (1 - self._dropout), 1.0


class DetectionCrossEntropyKernel(CostKernel):
    """The class or the fitness of each sampled box, or both in one."""

    file = "detection_cross_entropy.cu"

    def __init__(self, request: Request):
        op = request.node.op
        outputs = request.type().shape[3]
        # what an object's class and its bin of fitness count in the number of its output, what
        # comes in front of both, and the output of samples without an object
        if isinstance(op, FitnessCrossEntropy):
            self._outputs = 0, 1, 1, 0
        else:
            assert isinstance(op, DetectionCrossEntropy)
            self._outputs = (
                (FITNESS_BINS, 1, 0, outputs - 1) if op.joint else (1, 0, 0, outputs - 1)
            )
        self._op = op
        super().__init__(request)

    def numbers(self) -> list[Any]:
        overlap = self._op.overlap
        outputs = self._request.type().shape[3], *self._outputs
        counts = map(np.int32, (*_counts(self._request), *outputs))
        return [*counts, np.float32(overlap), np.float32(1 - overlap)]

    def scale(self) -> tuple[float, float]:
        *rows, outputs = self._request.type().shape
        each = self._op.factor / (prod(rows) * log(outputs))
        return each, each


class BoxRegressionKernel(CostKernel):
    """Smooth L1 of four errors where a sampled box shows an object."""

    file = "box_regression.cu"

    def __init__(self, request: Request):
        assert isinstance(request.node.op, BoxRegression)
        self._op = request.node.op
        super().__init__(request)

    def numbers(self) -> list[Any]:
        counts = map(np.int32, (*_counts(self._request), self._op.bounded))
        return [*counts, np.float32(self._op.overlap)]

    def scale(self) -> tuple[float, float]:
        each = self._op.factor / prod(self._request.type().shape[:3])
        return each, each


def _counts(request: Request) -> tuple[int, int, int]:
    """Return how many sampled boxes there are in all, of each image, and objects of each image."""
    n, samples, _ = request.type(1).shape
    return n * samples, samples, request.type(2).shape[1]


class SoftmaxCrossEntropyKernel(Kernel):
    """Backward makes the softmax once more."""

    name = "cuda cost"
    backward_inputs = (0, 1)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, SoftmaxCrossEntropy)
        n, height, width, classes = request.type().shape
        self._request = request
        self._rows = n * height * width
        self._blocks = row_blocks(request, self._rows)
        self._numbers = [
            *map(np.int32, (self._rows, classes, height * width)),
            np.float32(op.label_smoothing),
        ]
        self.forward_scratch = 4 * self._blocks

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert scratch is not None
        parts = scratch.view(np.float32)
        look = self._launch("cost", [*inputs, parts])
        return in_order([look, add_parts(self._request, parts, 1 / self._rows, outputs[0])])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._launch("gradient", [*inputs[:2], output_gradients[0], input_gradients[0]])

    def _launch(self, name: str, arrays: list[Any]) -> Call:
        return self._request.launch(
            "softmax_cross_entropy.cu",
            name,
            self._blocks,
            [*arrays, *self._numbers],
            real=self._request.element(self._request.type()),
        )
