"""Batch normalisation with the ReLU behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.onednn.memory import Memory, MemoryDesc, Scratch
from denet.backend.onednn.primitive import (
    BACKWARD,
    DIFF_DST,
    DIFF_SCALE,
    DIFF_SHIFT,
    DIFF_SRC,
    DST,
    MEAN,
    SCALE,
    SHIFT,
    SRC,
    VARIANCE,
    WORKSPACE,
    WORKSPACE_MD,
    Primitive,
)
from denet.backend.onednn.request import Request
from denet.backend.onednn.weight import in_order
from denet.graph.kernel import Call, Kernel
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.tensor_type import TensorType

GLOBAL_STATISTICS, USE_SCALE, USE_SHIFT, FUSE_RELU = 1, 2, 4, 8  # dnnl_normalization_flags_t


class BatchNormKernel(Kernel):
    """Statistics are float32; the fused ReLU keeps one bit per element for backward."""

    backward_inputs = (0, 1)
    backward_outputs = (1, 2)
    repeat_outputs = (1, 2)
    forward_in_place = ((0, 0),)
    backward_in_place = ((0, 0),)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, BatchNorm)
        self._training = request.training
        flags = USE_SCALE | USE_SHIFT
        flags |= FUSE_RELU if op.activation else 0
        flags |= 0 if request.training else GLOBAL_STATISTICS
        x = self._x = request.input()
        self._vector = MemoryDesc.vector(request.node.inputs[1].shape[0])
        forward = request.kind, x, x, op.eps, flags
        self._forward = Primitive("batch_normalization_forward", *forward)
        self.name = f"oneDNN {self._forward.implementation}"
        self._normalise = self._forward
        if request.training:
            again = request.kind, x, x, op.eps, flags | GLOBAL_STATISTICS
            self._normalise = Primitive("batch_normalization_forward", *again)
        self.forward_scratch = max(self._forward.scratch, self._normalise.scratch)
        self._mask = None
        if request.training and op.activation:
            self._mask = self._forward.md(WORKSPACE_MD)
            self.saved = (TensorType((self._mask.nbytes,), "uint8"),)
        if request.wanted:
            backward = BACKWARD, x, x, x, op.eps, flags, self._forward
            self._backward = Primitive("batch_normalization_backward", *backward)
            self._lay_out_scratch(request.wanted)

    def _lay_out_scratch(self, wanted: tuple[int, ...]) -> None:
        """Provide for the work of backward and for gradients that nobody wants."""
        scratch = Scratch()
        self._backward_work = scratch.reserve(self._backward.scratch)
        sizes = [self._x.nbytes, self._vector.nbytes, self._vector.nbytes]
        self._dropped = {i: scratch.reserve(sizes[i]) for i in range(3) if i not in wanted}
        self.backward_scratch = scratch.nbytes

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        x, gamma, beta, *running = inputs
        y, *batch = outputs
        mean, variance = batch if self._training else running
        call = self._bind(self._forward, [x, gamma, beta, mean, variance], y, saved, scratch)
        if self._training:
            return call
        copies = lambda: np.copyto(batch[0], mean), lambda: np.copyto(batch[1], variance)
        return in_order([call, *copies])

    def repeat(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        sources = [*inputs[:3], *outputs[1:]]
        return self._bind(self._normalise, sources, outputs[0], saved, scratch)

    def _bind(
        self,
        primitive: Primitive,
        sources: list[Any],
        y: Any,
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        """Return a call that writes y; ``sources`` are x, gamma, beta, mean and variance."""
        memories = {SRC: Memory(self._x, sources[0]), DST: Memory(self._x, y)}
        for index, vector in zip((SCALE, SHIFT, MEAN, VARIANCE), sources[1:], strict=True):
            memories[index] = Memory(self._vector, vector)
        if self._mask:
            memories[WORKSPACE] = Memory(self._mask, saved[0])
        work = slice(0, primitive.scratch)
        return primitive.bind(memories, scratch, work)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        gradients = list(input_gradients)
        for index, part in self._dropped.items():
            assert scratch is not None
            gradients[index] = scratch[part]
        memories = {
            SRC: Memory(self._x, inputs[0]),
            DIFF_DST: Memory(self._x, output_gradients[0]),
            DIFF_SRC: Memory(self._x, gradients[0]),
            # the shift is no argument of backward: naming it is an error
            SCALE: Memory(self._vector, inputs[1]),
            MEAN: Memory(self._vector, outputs[1]),
            VARIANCE: Memory(self._vector, outputs[2]),
            DIFF_SCALE: Memory(self._vector, gradients[1]),
            DIFF_SHIFT: Memory(self._vector, gradients[2]),
        }
        if self._mask:
            memories[WORKSPACE] = Memory(self._mask, saved[0])
        return self._backward.bind(memories, scratch, self._backward_work)
