"""Decoded images that stay in memory from one epoch to the next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.image.decode import decode_pixels
from denet.dataset.image.orientation import upright_size
from denet.dataset.image.shrink import shrunk
from denet.memory import available_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MOST_BYTES = 256_000_000
SHARE = 8  # of the memory that is free, at most one part in so many
PIXEL_BYTES = {"L": 1, "RGB": 3}  # Pillow itself takes 4 for a colour


class KeptImages:
    """Decodes images, and keeps the first ones that fit into MOST_BYTES for the next time.

    What is kept changes no pixel: it is what decoding gave at the same size. As all images are
    asked for equally often, none makes room for another.
    """

    def __init__(self) -> None:
        free = available_bytes()
        self._room = self._most = MOST_BYTES if free is None else min(MOST_BYTES, free // SHARE)
        self._kept: dict[tuple[str, tuple[int, int]], tuple[str, bytes]] = {}
        self._lock = threading.Lock()

    def at_most(self, sizes: np.ndarray) -> int:
        """Return how many bytes it can come to keep of images of these sizes (N, 2), 0: unknown.

        Each may be there whole, and at 1/2, 1/4 and 1/8 of its sides.
        """
        if (sizes == 0).any():
            return self._most
        pixels = int(sizes.astype(np.int64).prod(axis=1).sum())
        return min(self._most, PIXEL_BYTES["RGB"] * pixels * 85 // 64)

    def decode(
        self, name: str, image: PillowImage, width: float, height: float
    ) -> tuple[PillowImage, float]:
        """Return what ``decode_upright`` does of an opened image, which has this name."""
        shrink = shrunk(image, width, height)
        place = name, image.size
        kept = self._kept.get(place)
        if kept is not None:
            from PIL import Image

            mode, pixels = kept
            return Image.frombytes(mode, upright_size(image), pixels), shrink
        decoded = decode_pixels(image)
        size = decoded.width * decoded.height * PIXEL_BYTES[decoded.mode]
        with self._lock:
            if place not in self._kept and size <= self._room:
                self._kept[place] = decoded.mode, decoded.tobytes()
                self._room -= size
        return decoded, shrink
