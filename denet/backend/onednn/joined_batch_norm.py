"""Batch normalisation of channels that do not fill registers, or by statistics of all ranks.

oneDNN's fast kernel takes whole registers of channels; for others it is ten to fifty times slower
(3.2, two Zen 5 cores). Memory stays as it is: some neighbouring pixels are seen as one with as many
times the channels, whose statistics are joined afterwards.
"""

from __future__ import annotations

from math import gcd, prod
from typing import Any

import numpy as np

from denet.backend.onednn.batch_norm import (
    FUSE_RELU,
    GLOBAL_STATISTICS,
    USE_SCALE,
    USE_SHIFT,
    BatchNormKernel,
)
from denet.backend.onednn.memory import F32, Memory, MemoryDesc, Scratch
from denet.backend.onednn.primitive import (
    BACKWARD,
    BINARY_MULTIPLY,
    DIFF_DST,
    DIFF_SCALE,
    DIFF_SHIFT,
    DIFF_SRC,
    DST,
    MEAN,
    POST_OP_SRC,
    SCALE,
    SHIFT,
    SRC,
    SRC_1,
    VARIANCE,
    WORKSPACE,
    WORKSPACE_MD,
    PostOps,
    Primitive,
)
from denet.backend.onednn.request import Request
from denet.backend.onednn.weight import in_order
from denet.graph.kernel import Call, Kernel
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.shared_batch_norm import SharedBatchNorm
from denet.graph.tensor_type import TensorType

REGISTER = 16  # channels of float32


def fold(shape: tuple[int, ...]) -> int:
    """Return how many pixels of a map (n, h, w, c) go together; 1 where they cannot or need not."""
    n, h, w, c = shape
    pixels = REGISTER // gcd(REGISTER, c)
    return 1 if n * h * w % pixels else pixels


class JoinedBatchNormKernel(Kernel):
    """Like BatchNormKernel, for a map (n, h, w, c) that is seen as (n h w / f, f c).

    The vectors of oneDNN have f c elements: those of the channels f times. With mean_j and
    variance_j of the j-th of f pixels, mean = sum_j mean_j / f, variance = sum_j (variance_j +
    (mean_j - mean)^2) / f, which the op may merge with those of other ranks. In backward statistics
    are constants to oneDNN; what comes through them, -gamma / s (mean of g + z mean of g z), is a
    line a x + b, which is added.
    """

    backward_inputs = (0, 1)
    backward_outputs = (1, 2)
    backward_in_place = ((0, 0),)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, BatchNorm)
        shape = request.node.inputs[0].shape
        self._training, self._op, self._x_shape = request.training, op, shape
        self.repeat_outputs = op.repeat_outputs
        self._shape = fold(shape), shape[3]
        rows = prod(shape[:3]) // self._shape[0]
        n = gcd(shape[0], rows)
        folded = n, rows // n, 1, prod(self._shape)
        x = self._x = MemoryDesc.activation(folded, request.real)
        self._vector = MemoryDesc.vector(folded[3])
        flags = GLOBAL_STATISTICS | USE_SCALE | USE_SHIFT | (FUSE_RELU if op.activation else 0)
        forward = request.kind, x, x, op.eps
        self._forward = Primitive("batch_normalization_forward", *forward, flags)
        self.name = f"oneDNN {self._forward.implementation}"
        if self._shape[0] > 1:
            self.name += f", {self._shape[0]} pixels as one"
        scratch = Scratch()
        self._forward_vectors = scratch.reserve(4 * self._vector.nbytes)
        self._forward_work = scratch.reserve(self._forward.scratch)
        self._mask = None
        if self._training:
            self._statistics = Primitive("batch_normalization_forward", *forward, 0)
            self._statistics_work = scratch.reserve(self._statistics.scratch)
            self._mask = self._forward.md(WORKSPACE_MD) if op.activation else None
            self.saved = (TensorType((self._mask.nbytes,), "uint8"),) if self._mask else ()
        else:
            self.forward_in_place = ((0, 0),)
        self.forward_scratch = scratch.nbytes
        if request.wanted:
            backward = BACKWARD, x, x, x, op.eps, flags, self._forward
            self._backward = Primitive("batch_normalization_backward", *backward)
            self._line = MemoryDesc.activation((1, 1, 1, folded[3]), F32)
            post_ops = PostOps().add(self._line).add_destination()
            self._add_line = Primitive(
                "binary", BINARY_MULTIPLY, x, self._line, x, post_ops=post_ops
            )
            self._lay_out_scratch(0 in request.wanted)

    def _lay_out_scratch(self, wanted: bool) -> None:
        """Provide for the work of backward, and for the gradient of x where nobody wants it."""
        scratch = Scratch()
        self._backward_vectors = scratch.reserve(7 * self._vector.nbytes)
        self._backward_work = scratch.reserve(self._backward.scratch)
        self._line_work = scratch.reserve(self._add_line.scratch)
        self._dropped = None if wanted else scratch.reserve(self._x.nbytes)
        self.backward_scratch = scratch.nbytes

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        y, *statistics = outputs
        if not self._training:
            return in_order(
                [
                    self._normalise(inputs, [y, *inputs[3:]], saved, scratch),
                    lambda: np.copyto(statistics[0], inputs[3]),
                    lambda: np.copyto(statistics[1], inputs[4]),
                ]
            )
        assert scratch is not None
        means, variances = self._vectors(scratch, self._forward_vectors)[:2]
        memories = {SRC: Memory(self._x, inputs[0]), DST: Memory(self._x, y)}
        memories |= {MEAN: Memory(self._vector, means), VARIANCE: Memory(self._vector, variances)}

        def join() -> None:
            mean = means.mean(axis=0)
            np.subtract(means, mean, out=means)
            np.add(variances, np.square(means, out=means), out=variances)
            merged = self._op.merge(self._x_shape, mean, variances.mean(axis=0))
            for place, statistic in zip(statistics, merged, strict=True):
                place[...] = statistic

        look = self._statistics.bind(memories, scratch, self._statistics_work)
        return in_order([look, join, self._normalise(inputs, outputs, saved, scratch)])

    def repeat(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._normalise(inputs, outputs, saved, scratch)

    def _normalise(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        """Return a call that writes y with the statistics among ``outputs``."""
        assert scratch is not None
        sources = [*inputs[1:3], *outputs[1:3]]
        vectors = self._vectors(scratch, self._forward_vectors)
        memories = {SRC: Memory(self._x, inputs[0]), DST: Memory(self._x, outputs[0])}
        for index, vector in zip((SCALE, SHIFT, MEAN, VARIANCE), vectors, strict=True):
            memories[index] = Memory(self._vector, vector)
        if self._mask:
            memories[WORKSPACE] = Memory(self._mask, saved[0])

        def spread() -> None:
            for vector, source in zip(vectors, sources, strict=True):
                vector[...] = source

        return in_order([spread, self._forward.bind(memories, scratch, self._forward_work)])

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
        x, gamma = inputs[:2]
        mean, variance = outputs[1:3]
        gx, ggamma, gbeta = input_gradients[:3]
        if self._dropped:
            gx = scratch[self._dropped]
        vectors = self._vectors(scratch, self._backward_vectors)
        *statistics, ggammas, gbetas, slopes, intercepts = vectors
        arrays = {SCALE: vectors[0], MEAN: vectors[1], VARIANCE: vectors[2]}
        arrays |= {DIFF_SCALE: ggammas, DIFF_SHIFT: gbetas}
        memories = {index: Memory(self._vector, array) for index, array in arrays.items()}
        maps = {SRC: x, DIFF_DST: output_gradients[0], DIFF_SRC: gx}
        memories |= {index: Memory(self._x, array) for index, array in maps.items()}
        if self._mask:
            memories[WORKSPACE] = Memory(self._mask, saved[0])
        line = {
            SRC: Memory(self._x, x),
            SRC_1: Memory(self._line, slopes),
            POST_OP_SRC: Memory(self._line, intercepts),
            DST: Memory(self._x, gx),
        }

        def spread() -> None:
            for vector, source in zip(statistics, (gamma, mean, variance), strict=True):
                vector[...] = source

        def join() -> None:
            sums = np.stack([gbetas.sum(axis=0), ggammas.sum(axis=0)])
            for gradient, total in zip((gbeta, ggamma), sums, strict=True):
                if gradient is not None:
                    gradient[...] = total
            means = self._op.gradient_means(self._x_shape, sums)
            inverse = 1 / np.sqrt(variance + np.float32(self._op.eps))
            slopes[...] = -gamma * inverse * inverse * means[1]
            intercepts[...] = -gamma * inverse * means[0] - slopes[0] * mean

        calls = [spread, self._backward.bind(memories, scratch, self._backward_work), join]
        if not self._dropped:
            calls.append(self._add_line.bind(line, scratch, self._line_work))
        return in_order(calls)

    def _vectors(self, scratch: np.ndarray, part: slice) -> np.ndarray:
        """Return the vectors in a part of ``scratch``, (vectors, fold, c)."""
        return scratch[part].view(np.float32).reshape(-1, *self._shape)


def batch_norm_kernel(request: Request) -> Kernel:
    """Return the kernel that suits the op and the channels."""
    joins = isinstance(request.node.op, SharedBatchNorm) or fold(request.node.inputs[0].shape) > 1
    return JoinedBatchNormKernel(request) if joins else BatchNormKernel(request)
