"""Convolution weights in the order that kernels want."""

from __future__ import annotations

import numpy as np

from denet.bfloat16 import from_float32, to_float32
from denet.graph.kernel import Layout

CONV, DECONV = (0, 2, 3, 1), (1, 2, 3, 0)  # axes of (o, c, kh, kw) in the order (s, a, b, l)
DEPTHWISE = (2, 3, 1, 0)  # (a, b, l, s), where l is one: neighbours are channels
CHUNK = 8  # bf16 elements that one copy moves: rows of channels are filled up to it


def filled(channels: int) -> int:
    """Return how many channels there are once the last chunk is filled up."""
    return -(-channels // CHUNK) * CHUNK


class WeightLayout(Layout):
    """Weights (o, c, kh, kw) as (s, a, b, l): channels of the small map, window, of the large map.
    ``axes`` may say another order.

    float32, or ``half``: bf16 with l filled up to a chunk. ``view`` is the flat array.
    """

    def __init__(self, shape: tuple[int, ...], axes: tuple[int, ...], half: bool = False):
        self.shape, self.half = shape, half
        self.element_type = np.uint16 if half else np.float32
        self._axes = axes
        *lines, self._channels = (shape[axis] for axis in axes)
        self._stored_shape = *lines, filled(self._channels) if half else self._channels
        self.size = int(np.prod(self._stored_shape, dtype=np.int64))

    def view(self, stored: np.ndarray) -> np.ndarray:
        return stored

    def pack(self, plain: np.ndarray, stored: np.ndarray) -> None:
        weights = np.zeros(self._stored_shape, np.float32)
        weights[..., : self._channels] = plain.transpose(self._axes)
        stored[...] = (from_float32(weights) if self.half else weights).reshape(-1)

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        weights = (to_float32(stored) if self.half else stored).reshape(self._stored_shape)
        plain = weights[..., : self._channels].transpose(np.argsort(self._axes))
        return plain.copy()
