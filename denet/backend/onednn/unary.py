"""A kernel of one primitive each way, from one activation to another."""

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
)
from denet.graph.kernel import Call, Kernel
from denet.graph.tensor_type import TensorType


class UnaryKernel(Kernel):
    """y from x, and gx from gy with x, with y or with what forward keeps.

    ``reads`` is what backward reads besides gy: SRC for x, DST for y, WORKSPACE for what forward
    keeps.
    """

    def __init__(
        self,
        x: MemoryDesc,
        y: MemoryDesc,
        forward: Primitive,
        backward: Primitive | None,
        *reads: int,
        in_place: bool = False,
    ):
        self.name = f"oneDNN {forward.implementation}"
        self._x, self._y = x, y
        self._forward, self._backward = forward, backward
        self._reads = reads
        self._kept = forward.md(WORKSPACE_MD)
        if backward and WORKSPACE in reads and self._kept.nbytes:
            self.saved = (TensorType((self._kept.nbytes,), "uint8"),)
        self.backward_inputs = (0,) if SRC in reads else ()
        self.backward_outputs = (0,) if DST in reads else ()
        self.forward_scratch = forward.scratch
        self.backward_scratch = backward.scratch if backward else 0
        if in_place:
            self.forward_in_place = self.backward_in_place = ((0, 0),)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        memories = {SRC: Memory(self._x, inputs[0]), DST: Memory(self._y, outputs[0])}
        if self.saved:
            memories[WORKSPACE] = Memory(self._kept, saved[0])
        return self._forward.bind(memories, scratch)

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
        gy = Memory(self._y, output_gradients[0])
        memories = {DIFF_DST: gy, DIFF_SRC: Memory(self._x, input_gradients[0])}
        if SRC in self._reads:
            memories[SRC] = Memory(self._x, inputs[0])
        if DST in self._reads:
            memories[DST] = Memory(self._y, outputs[0])
        if self.saved:
            memories[WORKSPACE] = Memory(self._kept, saved[0])
        return self._backward.bind(memories, scratch)
