"""Mosaics: four images, each in a view of its own, beside and above each other in one input.

They show small objects, many of them, and put them beside what they never stood beside
(Bochkovskiy et al. 2020, arXiv 2004.10934, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from denet.dataset.image.options import Size

MOSAIC_SALT = 1 << 33  # apart from what is random within a sample
CROSS = (0.3, 0.7)  # where the four meet, as parts of width and height


class Shown(NamedTuple):
    """What a network input shows."""

    pixels: np.ndarray  # (h, w, 3) uint8, or float32 where colours are changed
    box: np.ndarray  # (T, 4) float64, normalised, those that are to be found
    box_class: np.ndarray  # (T,) int32
    shift: tuple[int, int, bool] = (0, 0, False)  # see Samples


class Tile(NamedTuple):
    """A part of a network input, in its pixels."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def size(self) -> Size:
        """Width and height."""
        return self.x1 - self.x0, self.y1 - self.y0


def tiles(size: Size, rng: np.random.Generator) -> list[Tile]:
    """Return the four parts of an input of 2x2 pixels or more that a random cross makes."""
    width, height = size
    x, y = (min(max(round(side * rng.uniform(*CROSS)), 1), side - 1) for side in (width, height))
    return [
        Tile(0, 0, x, y),
        Tile(x, 0, width, y),
        Tile(0, y, x, height),
        Tile(x, y, width, height),
    ]


def joined(parts: Sequence[tuple[Tile, Shown]]) -> Shown:
    """Return the input whose tiles show these parts."""
    width, height = max(tile.x1 for tile, _ in parts), max(tile.y1 for tile, _ in parts)
    pixels = np.zeros((height, width, 3), parts[0][1].pixels.dtype)
    boxes = []
    for tile, shown in parts:
        pixels[tile.y0 : tile.y1, tile.x0 : tile.x1] = shown.pixels
        inside = np.clip(shown.box, 0, 1) * np.tile(tile.size, 2) + [tile.x0, tile.y0] * 2
        boxes.append(inside / [width, height, width, height])
    classes = [shown.box_class for _, shown in parts]
    return Shown(pixels, np.concatenate(boxes), np.concatenate(classes))
