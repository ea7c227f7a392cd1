"""Convolution weights in the order that kernels want."""

from __future__ import annotations

import numpy as np

from denet.graph.kernel import Layout

CONV, DECONV = (0, 2, 3, 1), (1, 2, 3, 0)  # axes of (o, c, kh, kw) in the order (s, a, b, l)


class WeightLayout(Layout):
    """Weights (o, c, kh, kw) as (s, a, b, l): channels of the small map, window, of the large map.

    ``view`` is the flat array, float32.
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...]):
        super().__init__(shape)
        self._axes = axes
        self.stored_shape = tuple(shape[axis] for axis in axes)

    def view(self, stored: np.ndarray) -> np.ndarray:
        return stored

    def pack(self, plain: np.ndarray, stored: np.ndarray) -> None:
        stored[...] = plain.transpose(self._axes).reshape(-1)

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        weights = stored.reshape(self.stored_shape)
        return np.ascontiguousarray(weights.transpose(np.argsort(self._axes)))
