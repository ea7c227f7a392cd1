"""Large pictures in tiles, so that small objects are seen as large as the network knows them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from denet.dataset.image.decode import size_text
from denet.dataset.image.options import Size
from denet.detect.box import area, intersection
from denet.detect.detections import Detections
from denet.errors import UsageError
from denet.evaluate.overlap import PAIRS

Part = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the image

MOST = 4096  # tiles of an image: what is found in them is compared in one go
_CUT = 2.0  # pixels of a tile: a box that ends closer to its side is taken to be cut by it
_SCORE, _COVERED = (
    0.5,
    0.5,
)  # parts of the score and the area of a cut box, from which on another is its whole


@dataclass(frozen=True)
class Tiles:
    """Squares of ``side`` pixels of an image, evenly laid so that neighbours share ``overlap``.

    overlap  least part of a side that two neighbours share

    An image that is no larger has none, its shorter side may be less than theirs.
    """

    side: int
    overlap: float

    def parts(self, size: Size) -> list[Part]:
        """Return the parts of an image that are looked at: all of it first, then its tiles."""
        width, height = size
        tiles = [
            (x, y, min(x + self.side, width), min(y + self.side, height))
            for y in self._starts(height)
            for x in self._starts(width)
        ]
        return [(0, 0, width, height), *(tiles if len(tiles) > 1 else [])]

    def count(self, size: Size) -> int:
        """Return how many parts there are; raise UsageError for more than MOST tiles."""
        tiles = self._number(size[0]) * self._number(size[1])
        if tiles > MOST:
            raise UsageError(
                f"--tiles {self.side}: {tiles:,} tiles of an image of {size_text(size)} pixels: "
                "give larger ones, or less --overlap"
            )
        return 1 + tiles * (tiles > 1)

    def _number(self, length: int) -> int:
        shared = math.floor(self.side * self.overlap)
        return max(1, math.ceil((length - shared) / (self.side - shared)))

    def _starts(self, length: int) -> list[int]:
        return (
            np.linspace(0, max(length - self.side, 0), self._number(length))
            .round()
            .astype(int)
            .tolist()
        )


def clipped(found: Detections, part: np.ndarray) -> Detections:
    """Return detections within the parts (d, 4) in which they were found; others are left out."""
    low, high = (np.tile(part[:, own], 2).astype(np.float32) for own in (slice(2), slice(2, 4)))
    box = np.clip(found.box, low, high)
    return replace(found, box=box).take(np.all(box[:, 2:] > box[:, :2], axis=1))


def whole_objects(found: Detections, part: np.ndarray, size: Size) -> Detections:
    """Return the detections of one image but those of parts of objects that are seen whole.

    A box that ends where its part (d, 4) of the image of ``size`` (width, height) does, but not the
    image, is cut. It goes if a box of its class that is not cut, and has half its score or more,
    covers half of it or more.
    """
    sides = np.concatenate([found.box[:, :2] - part[:, :2], part[:, 2:] - found.box[:, 2:]], axis=1)
    inner = np.concatenate([part[:, :2] > 0, part[:, 2:] < size], axis=1)
    cut = ((sides < _CUT) & inner).any(axis=1)
    stays = np.ones(len(found), bool)
    for class_index in np.unique(found.class_index[cut]):
        own = found.class_index == class_index
        pieces, whole = np.flatnonzero(own & cut), found.take(own & ~cut)
        for some in np.array_split(pieces, 1 + len(pieces) * len(whole) // PAIRS):
            shared = intersection(found.box[some], whole.box)
            shared *= whole.score >= _SCORE * found.score[some, None]
            stays[some] = shared.max(axis=1, initial=0) < _COVERED * area(found.box[some])
    return found.take(stays)
