"""Augmentation inside a network: a random crop, mirrored and flipped at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.op.crop import crop_type
from denet.graph.op.window import SHAPE
from denet.graph.tensor_type import TensorType


@dataclass(frozen=True)
class CropMirror(Op):
    """y[n] = x[n, top : top + height, left : left + width], mirrored and flipped per sample.

    Training draws the corner uniformly, mirrors (left to right) and flips (upside down) with the
    given probabilities; the draws of a sample are a function of its key and ``salt``. Otherwise
    the centre is cut at floor((h - height) / 2), floor((w - width) / 2). gx puts g back in place.
    """

    height: int
    width: int
    mirror_probability: float
    flip_probability: float
    salt: int

    def infer(self, *inputs: TensorType) -> Types:
        return (crop_type("CropMirror", inputs[0], 0, 0, self.height, self.width),)

    def saved(self, *inputs: TensorType) -> Types:
        return SHAPE, TensorType((inputs[0].shape[0], 4), "int32")

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        x = inputs[0]
        n, h, w, c = x.shape
        choices = self._draw(run, n, h - self.height, w - self.width)
        y = np.empty((n, self.height, self.width, c), x.dtype)
        for sample, part in zip(y, self._parts(x, choices), strict=True):
            sample[...] = part
        return (y,), (np.array(x.shape, np.int32), choices)

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        shape, choices = saved
        gx = np.zeros(shape, gradients[0].dtype)
        for part, g in zip(self._parts(gx, choices), gradients[0], strict=True):
            part[...] = g
        return (gx,)

    def _draw(self, run: Run, n: int, spare_height: int, spare_width: int) -> np.ndarray:
        """Return (n, 4) int32: top, left, mirror, flip."""
        if not run.training:
            return np.tile(np.array([spare_height // 2, spare_width // 2, 0, 0], np.int32), (n, 1))
        choices = np.empty((n, 4), np.int32)
        for choice, generator in zip(choices, run.generators(self.salt), strict=True):
            choice[0] = generator.integers(spare_height, endpoint=True)
            choice[1] = generator.integers(spare_width, endpoint=True)
            choice[2] = generator.random() < self.mirror_probability
            choice[3] = generator.random() < self.flip_probability
        return choices

    def _parts(self, x: np.ndarray, choices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the view of each sample of x that its output shows."""
        for sample, (top, left, mirror, flip) in zip(x, choices, strict=True):
            part = sample[top : top + self.height, left : left + self.width]
            yield part[:: -1 if flip else 1, :: -1 if mirror else 1]
