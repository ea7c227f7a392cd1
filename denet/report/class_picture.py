"""A picture whose pixels are class ids, shown in the colours of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from denet.evaluate.segmentation import NO_CLASS
from denet.report.detections import class_colour
from denet.report.drawing import PAPER

if TYPE_CHECKING:
    from PIL.Image import Image


def class_picture(class_ids: np.ndarray) -> Image:
    """Return class ids (h, w) uint8 as an 8-bit picture with a palette; NO_CLASS is white."""
    from PIL import Image, ImageColor

    colours = [*map(class_colour, range(NO_CLASS)), PAPER]
    picture = Image.fromarray(class_ids)
    picture.putpalette([level for colour in colours for level in ImageColor.getrgb(colour)])
    return picture
