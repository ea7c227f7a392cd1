"""JPEG files decode much faster at 1/2, 1/4 or 1/8 of their size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from denet.dataset.image.orientation import LYING, orientation_of

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_SHARP = 2  # an image is decoded at this times the wanted size or more, which keeps it sharp


def shrunk(image: PillowImage, width: float, height: float) -> float:
    """Have an opened image decoded as small as it stays sharp when it is scaled to this size.

    The size is that of the upright image.
    Returns by how much its sides shrink, 1 where it is no JPEG.
    """
    stored = image.width
    wide, high = math.ceil(_SHARP * width), math.ceil(_SHARP * height)
    found = image.draft(None, (high, wide) if orientation_of(image) in LYING else (wide, high))
    return stored / found[1][2] if found else 1.0
