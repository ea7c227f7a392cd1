"""Maps behind one another along the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.errors import DescriptionError
from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Concat(Op):
    """y[..., c] = x0[..., c], x1[..., c - c0], ...; each input's gradient is its part of g."""

    gradient_inputs = tuple(range(1024))  # however many there are

    def infer(self, *inputs: TensorType) -> Types:
        first = inputs[0]
        if any((x.shape[:3], x.dtype) != (first.shape[:3], first.dtype) for x in inputs):
            shapes = ", ".join(str(x.shape) for x in inputs)
            raise DescriptionError(f"Concat: maps of unlike size, {shapes}: make their sizes equal")
        channels = sum(x.shape[3] for x in inputs)
        return (TensorType((*first.shape[:3], channels), first.dtype),)

    def saved(self, *inputs: TensorType) -> Types:
        return (TensorType((len(inputs),), "int32"),)  # channels of each

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        channels = np.array([x.shape[3] for x in inputs], np.int32)
        return (np.concatenate(inputs, axis=3),), (channels,)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        return tuple(np.split(gradients[0], np.cumsum(saved[0])[:-1], axis=3))
