"""From an opened image and a view of it to the pixels of a network input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.image.boxes import View
from denet.dataset.image.decode import decode_upright
from denet.dataset.image.options import Size
from denet.dataset.image.orientation import beginning, upright_size

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Decode = Callable[["PillowImage", float, float], tuple["PillowImage", float]]

_REDUCING_GAP = 2.0  # a large image is first averaged over blocks, to twice its new size or more
_TOLERANCE = 1e-6  # network pixels


def render(
    image: PillowImage, view: View, crop: Size, resample: str, decode: Decode = decode_upright
) -> np.ndarray:
    """Return the pixels (h, w, 3) uint8 that an opened image shows in a view, black outside.

    A network pixel that the border of the image crosses is black too. ``resample`` names a filter
    of Pillow; ``decode`` does what ``decode_upright`` does.
    """
    from PIL import Image

    size = upright_size(image)
    (x0, x1), (y0, y1) = (
        _visible(length, scale, offset, limit)
        for length, scale, offset, limit in zip(size, view[:2], view[2:4], crop, strict=True)
    )
    if x0 >= x1 or y0 >= y1:
        return np.zeros((crop[1], crop[0], 3), np.uint8)
    upright, shrink = decode(image, size[0] * view.scale_x, size[1] * view.scale_y)
    spare = upright.width - size[0] / shrink, upright.height - size[1] / shrink
    shown = (x0, x1), (y0, y1)
    edges = shown, view[:2], view[2:4], size, beginning(image, spare), upright.size
    (left, right), (top, bottom) = (
        [
            min(min(max((place + offset) / scale, 0), length) / shrink + first, limit)
            for place in places
        ]
        for places, scale, offset, length, first, limit in zip(*edges, strict=True)
    )
    resized = upright.resize(
        (x1 - x0, y1 - y0),
        Image.Resampling[resample],
        (left, top, right, bottom),
        _REDUCING_GAP,
    )
    if resized.mode != "RGB":
        resized = resized.convert("RGB")
    if view.mirrored:  # NumPy takes several times as long to turn rows of three channels
        resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x0, x1 = crop[0] - x1, crop[0] - x0
    network = np.asarray(resized)
    if resized.size == crop:
        return network
    pixels = np.zeros((crop[1], crop[0], 3), np.uint8)
    pixels[y0:y1, x0:x1] = network
    return pixels


def _visible(length: int, scale: float, offset: float, limit: int) -> tuple[int, int]:
    """Return the first and behind the last network pixel that lie wholly in the image."""
    first = math.ceil(-offset - _TOLERANCE)
    return max(0, first), min(limit, math.floor(length * scale - offset + _TOLERANCE))
