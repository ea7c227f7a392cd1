"""A fixed rectangle of a map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from denet.errors import DescriptionError
from denet.graph.op.base import Arrays, Op, Run, Types, image
from denet.graph.op.window import SHAPE
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class Crop(Op):
    """y[n,i,j,c] = x[n, i + top, j + left, c]; gx is g with zeros around it."""

    top: int
    left: int
    height: int
    width: int
    dtype: str = "real"  # of y; a float32 x gives a float32 y too

    def infer(self, *inputs: TensorType) -> Types:
        y = crop_type("Crop", inputs[0], self.top, self.left, self.height, self.width)
        return (y if self.dtype == "real" else replace(y, dtype=self.dtype),)

    def saved(self, *inputs: TensorType) -> Types:
        return (SHAPE,)

    def _part(self, x: np.ndarray) -> np.ndarray:
        return x[:, self.top : self.top + self.height, self.left : self.left + self.width]

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x = inputs[0]
        return (self._part(x).copy(),), (np.array(x.shape, np.int32),)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        gx = np.zeros(saved[0], gradients[0].dtype)
        self._part(gx)[...] = gradients[0]
        return (gx,)


def crop_type(op: str, x: TensorType, top: int, left: int, height: int, width: int) -> TensorType:
    """Return the type of a part of x; raise DescriptionError where it reaches beyond x."""
    n, h, w, c = image(x)
    if top + height > h or left + width > w:
        raise DescriptionError(
            f"{op}: a {height}x{width} crop at ({top}, {left}) reaches beyond the {h}x{w} map "
            f"(x {x.shape}): use a smaller crop"
        )
    return TensorType((n, height, width, c), x.dtype)
