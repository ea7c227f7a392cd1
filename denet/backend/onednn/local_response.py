"""Local response normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.onednn.memory import Memory, MemoryDesc
from denet.backend.onednn.primitive import (
    DIFF_DST,
    DIFF_SRC,
    DST,
    SRC,
    WORKSPACE,
    WORKSPACE_MD,
    Primitive,
    Unserved,
)
from denet.backend.onednn.request import Request
from denet.graph.graph import TensorType
from denet.graph.kernel import Call, Kernel
from denet.graph.op.local_response import LocalResponse

ACROSS_CHANNELS = 0xAFF  # dnnl_lrn_across_channels
SIZES, BLOCK = (3, 5), 16  # sums, and channels in a register, that are right in both directions


class LocalResponseKernel(Kernel):
    """y from x, and gx from gy with x and what forward keeps.

    Groups lie behind one another in each cell: oneDNN sees them as cells of their own.
    """

    backward_inputs = (0,)

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, LocalResponse)
        n, h, w, c = request.node.inputs[0].shape
        if op.size not in SIZES or c // op.groups % BLOCK:
            # in 3.2: crashes for size 1, wrong gradients for larger ones and other channels
            raise Unserved(f"over {op.size} of {c // op.groups} channels")
        dtype = request.real
        self._x = MemoryDesc.activation((n, h, w * op.groups, c // op.groups), dtype)
        # oneDNN divides alpha by the size
        numbers = op.size, op.alpha * op.size, op.beta, op.kappa
        x = self._x
        self._forward = Primitive("lrn_forward", request.kind, ACROSS_CHANNELS, x, x, *numbers)
        self._backward = None
        if request.wanted:
            backward = ACROSS_CHANNELS, x, x, x, *numbers, self._forward
            self._backward = Primitive("lrn_backward", *backward)
        self.name = f"oneDNN {self._forward.implementation}"
        self._kept = self._forward.md(WORKSPACE_MD) if self._backward else None
        if self._kept and self._kept.nbytes:
            self.saved = (TensorType((self._kept.nbytes,), "uint8"),)
        self.forward_scratch = self._forward.scratch
        self.backward_scratch = self._backward.scratch if self._backward else 0

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        memories = {SRC: Memory(self._x, inputs[0]), DST: Memory(self._x, outputs[0])}
        return self._forward.bind(memories | self._workspace(saved), scratch)

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        assert self._backward is not None
        memories = {
            SRC: Memory(self._x, inputs[0]),
            DIFF_DST: Memory(self._x, output_gradients[0]),
            DIFF_SRC: Memory(self._x, input_gradients[0]),
        }
        return self._backward.bind(memories | self._workspace(saved), scratch)

    def _workspace(self, saved: list[Any]) -> dict[int, Memory]:
        if not self.saved or self._kept is None:
            return {}
        return {WORKSPACE: Memory(self._kept, saved[0])}
