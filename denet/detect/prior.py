"""Boxes of all sizes, shapes and places: samples whatever the corners say, as SSD has them.

(Liu et al. 2016, arXiv 1512.02325, section 2.2, there one set at each cell of several maps.)
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

LARGEST = 0.9  # side of the largest boxes: the root of their area, of an image of area 1
STEP = 1.5  # ratio of the sides of one level and the next
SHAPES = (0.5, 1.0, 2.0)  # width / height, both as parts of the image
SPACING = 0.5  # neighbours are apart by this part of a side at most
JITTER = 0.15  # of a side: largest shift, and logarithm of the largest change of a side


@cache
def prior_boxes(level_num: int) -> np.ndarray:
    """Return the boxes (K, 4) float32 of so many sizes, 0.9, 0.6, 0.4, 0.27 ... of the image.

    Of each size and shape they lie evenly, from border to border. K = 10, 35, 93, 242, 573, 1335
    for 1 to 6 levels. The array is shared and cannot be written.
    """
    parts = [np.zeros((0, 4))]
    for level in range(level_num):
        for shape in SHAPES:
            side = LARGEST / STEP**level
            width, height = min(side * math.sqrt(shape), 1), min(side / math.sqrt(shape), 1)
            x, y = np.meshgrid(_starts(width), _starts(height))
            parts.append(np.stack([x, y, x + width, y + height], axis=-1).reshape(-1, 4))
    boxes = np.concatenate(parts).astype(np.float32)
    boxes.flags.writeable = False
    return boxes


def jittered(box: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return boxes (K, 4) moved and stretched at random, cut at the image.

    Centres move by up to JITTER of a side, sides change by a factor of up to exp(JITTER).
    """
    shift, stretch = np.split(generator.uniform(-JITTER, JITTER, (len(box), 4)), 2, axis=1)
    side = box[:, 2:] - box[:, :2]
    centre = (box[:, :2] + box[:, 2:]) / 2 + shift * side
    half = side * np.exp(stretch) / 2
    moved: np.ndarray = np.clip(np.hstack([centre - half, centre + half]), 0, 1)
    return moved.astype(box.dtype)


def _starts(side: float) -> np.ndarray:
    """Return where boxes of this side begin along one axis."""
    room = 1 - side
    if room <= 0:
        return np.zeros(1)
    return np.linspace(0, room, math.ceil(room / (SPACING * side)) + 1)
