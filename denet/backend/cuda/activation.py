"""Activation functions, by element or (softmax) over the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.request import Request
from denet.graph.kernel import Call, Kernel
from denet.graph.op.activation import LEAK, Activation

SAME = {"relu-safe": "relu"}  # kinds that are others by another name


class ActivationKernel(Kernel):
    """y = f(x), gx = g f'(x), told from y; both directions may work in place."""

    name = "cuda activation"
    backward_outputs = (0,)
    forward_in_place = backward_in_place = ((0, 0),)

    def __init__(self, request: Request):
        assert isinstance(request.node.op, Activation)
        kind = request.node.op.kind
        self._request = request
        self._function = f"activation_{SAME.get(kind, kind)}".replace("-", "_")

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._launch(self._function, [inputs[0], outputs[0]])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        arrays = [output_gradients[0], outputs[0], input_gradients[0]]
        return self._launch(f"{self._function}_backward", arrays)

    def _launch(self, name: str, arrays: list[Any]) -> Call:
        real = self._request.element(self._request.type())
        return self._request.by_vector("activation.cu", name, arrays, real=real, LEAK=f"{LEAK}f")


class SoftmaxKernel(ActivationKernel):
    """Softmax over the channels, a warp per cell."""

    name = "cuda softmax"

    def __init__(self, request: Request):
        super().__init__(request)
        self._function = "softmax"

    def _launch(self, name: str, arrays: list[Any]) -> Call:
        return by_warp(self._request, name, arrays)


def by_warp(request: Request, name: str, arrays: list[Any]) -> Call:
    """Bind a kernel of softmax.cu that has a warp for each cell of the node's first input."""
    n, h, w, channels = request.type().shape
    cells = n * h * w
    numbers = [np.int64(cells), np.int32(channels)]
    real = request.element(request.type())
    grid = blocks(cells, THREADS // 32)
    return request.launch("softmax.cu", name, grid, [*arrays, *numbers], real=real)


def activation_kernel(request: Request) -> Kernel:
    """Return the kernel of an Activation node."""
    assert isinstance(request.node.op, Activation)
    return (SoftmaxKernel if request.node.op.kind == "softmax" else ActivationKernel)(request)
