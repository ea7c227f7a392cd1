"""Loose images, whatever holds them: files, bytes from a pipe, pictures in memory, videos."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS, Names
from denet.dataset.image.decode import (
    decode_image,
    decode_opened,
    fit_image,
    open_bytes,
    quiet_pillow,
    upright_header,
)
from denet.dataset.image.options import Size

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


class Loose:
    """Images by index, each with a name; decoded when they are asked for, by any thread.

    ``image`` and ``size`` raise whatever a decoder does for a damaged one.
    """

    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> PillowImage:
        """Return an image, upright, in mode L or RGB."""
        raise AssertionError("abstract")

    def covering(self, index: int, size: Size) -> PillowImage:
        """Return an image brought to this size, see ``fit_image``."""
        return fit_image(self.image(index), *size)

    def size(self, index: int) -> Size:
        """Return the (width, height) of an image."""
        return self.image(index).size

    def upright_file(self, index: int) -> str | None:
        """Return the file that an image is as it is stored; None where it is turned or no file."""
        return None


class Files(Loose):
    """Image files."""

    def __init__(self, paths: Sequence[str], max_image_pixels: int = MAX_IMAGE_PIXELS):
        self.names = list(paths)
        self._limit = max_image_pixels

    def image(self, index: int) -> PillowImage:
        with quiet_pillow():
            return decode_image(self.names[index], max_image_pixels=self._limit)

    def covering(self, index: int, size: Size) -> PillowImage:
        with quiet_pillow():
            return decode_image(self.names[index], crop=size, max_image_pixels=self._limit)

    def size(self, index: int) -> Size:
        with quiet_pillow():
            return upright_header(self.names[index], self._limit)[0]

    def upright_file(self, index: int) -> str | None:
        with quiet_pillow():
            _, turned = upright_header(self.names[index], self._limit)
        return None if turned else self.names[index]


class Held(Loose):
    """Images in memory: pictures of Pillow, arrays (h, w, 3) or (h, w) uint8, or bytes of files."""

    def __init__(
        self,
        images: Sequence[PillowImage | np.ndarray | bytes],
        names: Sequence[str],
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        self.names = list(names)
        self._images, self._limit = images, max_image_pixels

    def image(self, index: int) -> PillowImage:
        with quiet_pillow():
            return decode_opened(self._opened(index))

    def covering(self, index: int, size: Size) -> PillowImage:
        with quiet_pillow():
            return decode_opened(self._opened(index), crop=size)

    def _opened(self, index: int) -> PillowImage:
        from PIL import Image

        given = self._images[index]
        if isinstance(given, np.ndarray):
            return Image.fromarray(given)
        if not isinstance(given, bytes):
            return given.copy()  # decoding changes it
        if not given:
            raise ValueError("an empty file")
        return open_bytes(given, self.names[index], self._limit)


class Several(Loose):
    """The images of all parts, one part behind the other."""

    def __init__(self, parts: Sequence[Loose]):
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))
        self.names = Names(self._name, range(self._ends[-1]))

    def _place(self, index: int) -> tuple[Loose, int]:
        """Return the part that an image is in, and where."""
        number = bisect(self._ends, index)
        part = self._parts[number]
        return part, index - self._ends[number] + len(part)

    def _name(self, index: int) -> str:
        part, place = self._place(index)
        return part.names[place]

    def image(self, index: int) -> PillowImage:
        part, place = self._place(index)
        return part.image(place)

    def covering(self, index: int, size: Size) -> PillowImage:
        part, place = self._place(index)
        return part.covering(place, size)

    def size(self, index: int) -> Size:
        part, place = self._place(index)
        return part.size(place)

    def upright_file(self, index: int) -> str | None:
        part, place = self._place(index)
        return part.upright_file(place)
