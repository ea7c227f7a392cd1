"""A random crop, mirrored and flipped at random, as NumPy draws it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from denet.backend.cuda.cells import sample_grid
from denet.backend.cuda.grid import blocks
from denet.backend.cuda.move import MoveKernel, Units
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.tensor_type import TensorType


class CropMirrorKernel(Kernel):
    """Chooses where each sample is cut and how it is turned, then cuts; backward puts g back."""

    name = "cuda crop mirror"

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, CropMirror)
        x, y = request.type(), request.node.outputs[0].type
        self._request, self._op = request, op
        self._x, self._y = x, y
        self._units = Units(request, x, y)
        choices = TensorType((x.shape[0], 4), "int32")  # top, left, mirror, flip
        if request.wanted:
            self.saved = (choices,)
        else:
            self.forward_scratch = 4 * choices.size

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        choices = saved[0] if saved else scratch
        move = self._move(inputs[0], self._x, outputs[0], self._y, choices, 1)
        return in_order([self._choose(choices), move])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        g, gx = output_gradients[0], input_gradients[0]
        return self._move(g, self._y, gx, self._x, saved[0], -1)

    def _choose(self, choices: Any) -> Call:
        n, height, width, _ = self._x.shape
        spare = height - self._op.height, width - self._op.width
        # random() is a multiple of 2^-53
        chances = self._op.mirror_probability, self._op.flip_probability
        arguments = [
            self._request.run.sample_keys,
            np.uint64(self._op.salt),
            choices,
            *map(np.int32, (n, *spare)),
            *(np.uint64(math.ceil(math.ldexp(chance, 53))) for chance in chances),
        ]
        return self._request.launch("crop_choice.cu", "crop_choice", blocks(n), arguments)

    def _move(
        self, source: Any, x: TensorType, target: Any, y: TensorType, choices: Any, sign: int
    ) -> Call:
        n, height, width, channels = y.shape
        arguments = [
            *(source, *map(np.int32, x.shape[1:3])),
            *(target, *map(np.int32, y.shape[1:3])),
            *(*self._units.of(channels), choices, np.int32(sign)),
        ]
        grid = sample_grid(n, height * width * channels // self._units.size)
        defines = self._units.defines
        return self._request.launch("move.cu", "move_mirrored", grid, arguments, **defines)


def crop_mirror_kernel(request: Request) -> Kernel:
    """Return the kernel of a CropMirror node; where nothing is trained it cuts out the centre."""
    op = request.node.op
    assert isinstance(op, CropMirror)
    if request.training:
        return CropMirrorKernel(request)
    _, height, width, _ = request.type().shape
    return MoveKernel(request, (height - op.height) // 2, (width - op.width) // 2)
