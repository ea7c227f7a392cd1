"""Parts of maps, copied: a border or channels put on, a rectangle or the first channels cut out."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.backend.cuda.cells import sample_grid, vector_size
from denet.backend.cuda.request import ELEMENTS, Request
from denet.graph.kernel import Call, Kernel, in_order
from denet.graph.memory import ELEMENT_TYPES
from denet.graph.op.crop import Crop
from denet.graph.op.pad import Pad
from denet.graph.op.pad_channels import PadChannels
from denet.graph.tensor_type import TensorType

UNIT = "uint4"  # 16 bytes, whatever they hold


class Units:
    """What a thread moves from one map to another: a vector, or one element and its conversion.

    ``channels`` are counts and starts that have to be whole numbers of vectors.
    """

    def __init__(self, request: Request, source: TensorType, target: TensorType, *channels: int):
        types = ELEMENTS[request.precision]
        source_type, target_type = types[source.dtype], types[target.dtype]
        itemsize = np.dtype(ELEMENT_TYPES[request.precision][target.dtype]).itemsize
        self.size = 1
        if source_type == target_type:
            self.size = vector_size(itemsize, source.shape[3], target.shape[3], *channels)
            if self.size > 1:
                source_type = target_type = UNIT
        # one text for both precisions
        self.defines: dict[str, Any] = {"real": "float", "FROM": source_type, "TO": target_type}

    def of(self, *channels: int) -> list[np.int32]:
        """Return counts of channels as counts of units."""
        return [np.int32(count // self.size) for count in channels]


class Move:
    """target[n, i, j, c + target_first] = source[n, i + top, j + left, c + source_first].

    For ``depth`` channels, by default all of the target; 0 where the source ends before.
    """

    def __init__(
        self,
        request: Request,
        source: TensorType,
        target: TensorType,
        top: int = 0,
        left: int = 0,
        source_first: int = 0,
        target_first: int = 0,
        depth: int | None = None,
    ):
        n, height, width, channels = target.shape
        depth = channels if depth is None else depth
        there = min(source.shape[3] - source_first, depth)
        units = Units(request, source, target, source_first, target_first, depth, there)
        self._request, self._units = request, units
        self._firsts = source_first, target_first
        self._grid = sample_grid(n, height * width * depth // units.size)
        self._source = *map(np.int32, source.shape[1:3]), *units.of(source.shape[3], there)
        self._target = np.int32(height), np.int32(width), *units.of(channels, depth)
        self._shift = np.int32(top), np.int32(left)

    def bind(self, source: Any, target: Any) -> Call:
        """Return the call that moves between these arrays."""
        x, y = (
            array.reshape(-1)[first:]
            for array, first in zip((source, target), self._firsts, strict=True)
        )
        arguments = [x, *self._source, y, *self._target, *self._shift]
        return self._request.launch("move.cu", "move", self._grid, arguments, **self._units.defines)


class MoveKernel(Kernel):
    """y[n, i, j, c] = x[n, i + top, j + left, c], 0 beyond x; gx is g moved back."""

    name = "cuda move"

    def __init__(self, request: Request, top: int = 0, left: int = 0):
        x, y = request.type(), request.node.outputs[0].type
        self._forward = Move(request, x, y, top, left)
        self._backward = Move(request, y, x, -top, -left)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._forward.bind(inputs[0], outputs[0])

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._backward.bind(output_gradients[0], input_gradients[0])


def pad_kernel(request: Request) -> MoveKernel:
    """Return the kernel of a Pad node."""
    op = request.node.op
    assert isinstance(op, Pad)
    return MoveKernel(request, -op.top, -op.left)


class PadChannelsKernel(MoveKernel):
    """x moved behind the channels of zeros before it; gx is that part of g moved back."""

    name = "cuda pad channels"

    def __init__(self, request: Request):
        op = request.node.op
        assert isinstance(op, PadChannels)
        x, y = request.type(), request.node.outputs[0].type
        rest = y.shape[3] - op.before
        self._zeros = (
            [Move(request, x, y, source_first=x.shape[3], depth=op.before)] if op.before else []
        )
        self._forward = Move(request, x, y, target_first=op.before, depth=rest)
        self._backward = Move(request, y, x, source_first=op.before)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        moves = [*self._zeros, self._forward]
        return in_order([move.bind(inputs[0], outputs[0]) for move in moves])


def crop_kernel(request: Request) -> MoveKernel:
    """Return the kernel of a Crop node, whose y may be float32 where x is not."""
    op = request.node.op
    assert isinstance(op, Crop)
    return MoveKernel(request, op.top, op.left)


def first_channels_kernel(request: Request) -> MoveKernel:
    """Return the kernel of a FirstChannels node."""
    return MoveKernel(request)
