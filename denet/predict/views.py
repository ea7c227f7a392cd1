"""Views by name: several windows of every image of a dataset, whose answers are averaged."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample, Dataset, Samples, repeated
from denet.dataset.image.augment import scaled_size
from denet.dataset.image.decode import quiet_pillow, reason, size_text
from denet.dataset.image.options import Size
from denet.errors import DataError
from denet.model.model import MAX_LENGTH
from denet.predict.loose import Loose

_GAP = 2.0  # a large picture is first averaged over blocks, to twice its new size or more

Place = tuple[float, float]  # parts of what is left over to the right and below
_TOP_LEFT, _CENTRE, _BOTTOM_RIGHT = (0.0, 0.0), (0.5, 0.5), (1.0, 1.0)
_FIVE = (_CENTRE, _TOP_LEFT, (1.0, 0.0), (0.0, 1.0), _BOTTOM_RIGHT)


@dataclass(frozen=True)
class ViewSet:
    """How pictures are made of image files, and which windows of these a network sees.

    scaling  cover: scaled to cover a size, and the middle taken; warp: both sides scaled to it;
             whole: scaled to cover it, and nothing cut off
    crops    where crops of that size lie in a picture; none: it is one crop
    windows  where views lie in each crop
    mirrored whether each view also comes mirrored, behind all others
    slides   what slides over views, each all of its crop: trunk, the network up to its last
             convolution, and five windows of the map there are classified (ccv); network, all of
             it; "" nothing, for views are as large as its input
    """

    scaling: str = "cover"
    crops: tuple[Place, ...] = ()
    windows: tuple[Place, ...] = _FIVE
    mirrored: bool = True
    slides: str = ""

    @property
    def count(self) -> int:
        """Views of an image."""
        return (len(self.crops) or 1) * len(self.windows) * (1 + self.mirrored)

    def of(self, picture: Size, size: Size, view: Size) -> list[Window]:
        """Return all views of a picture, its crops being of ``size`` where it is that large."""
        found = []
        for crop in self.crops or (_CENTRE,):
            room = np.minimum(picture, size) if self.crops else np.array(picture)
            corner = _at(crop, picture - room)
            middle = corner + _at(_CENTRE, room - view)
            for window in self.windows:
                x, y = corner + _at(window, room - view)
                found.append(Window(x, y, x - middle[0], y - middle[1], False))
        return found + [each._replace(mirrored=True) for each in found if self.mirrored]


class Window(NamedTuple):
    """A view of a picture, in its pixels."""

    x: int
    y: int
    right: int  # of the centre of its crop
    down: int
    mirrored: bool


VIEWS: dict[str, ViewSet] = {
    "centre": ViewSet(windows=(_CENTRE,), mirrored=False),
    "alex10": ViewSet(),  # Krizhevsky et al. 2012, section 4.1
    "caffe10": ViewSet("warp"),
    "ccv10": ViewSet("whole", (), (_CENTRE,), slides="trunk"),
    "ccv30": ViewSet("whole", (_TOP_LEFT, _CENTRE, _BOTTOM_RIGHT), (_CENTRE,), slides="trunk"),
    "dense": ViewSet("whole", (), (_CENTRE,), mirrored=False, slides="network"),
}


def _at(place: Place, spare: np.ndarray) -> np.ndarray:
    return np.array([math.ceil(part * each) for part, each in zip(place, spare, strict=True)])


def scaled(width: int, height: int) -> Size:
    """Return the size that images are scaled to for views of this size: 256 for 224.

    Krizhevsky et al. 2012, section 4.1.
    """
    return round(width * 256 / 224), round(height * 256 / 224)


class Pictures:
    """What loose images show at a ``size``, scaled as a ViewSet says; black where one is damaged.

    ``images`` are the same as a dataset, which is told of damaged ones.
    """

    def __init__(
        self,
        images: Dataset,
        loose: Loose,
        size: Size,
        scaling: str,
        channels: int,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        self._images, self._loose, self._size, self._scaling = images, loose, size, scaling
        self._channels, self._max_image_pixels = channels, max_image_pixels
        self._lock = threading.Lock()

    def __call__(self, index: int) -> np.ndarray:
        """Return (h, w, c) uint8; ``bad`` of the images tells those that cannot be read."""
        name, width, height = self._images.names[index], *self._size
        try:
            with quiet_pillow():
                return self._read(index)
        except Exception as error:  # a damaged file can make a decoder raise anything
            damaged = BadSample(name, reason(error))
            with self._lock:
                if damaged not in self._images.bad:  # views of one image may come apart
                    self._images.bad.append(damaged)
            return np.zeros((height, width, self._channels), np.uint8)

    def _read(self, index: int) -> np.ndarray:
        from PIL import Image

        crop, limit = self._size if self._scaling == "cover" else None, self._max_image_pixels
        image = self._loose.covering(index, crop) if crop else self._loose.image(index)
        image = image.convert("L" if self._channels == 1 else "RGB")
        mode = "warp" if self._scaling == "warp" else "small"
        wanted = crop or scaled_size(image.size, self._size, mode)
        if wanted[0] * wanted[1] > limit or max(wanted) > MAX_LENGTH:  # of a long, narrow image
            raise ValueError(f"{size_text(wanted)} pixels when it is scaled: too many")
        if image.size != wanted:
            image = image.resize(wanted, Image.Resampling.BICUBIC, reducing_gap=_GAP)
        return np.asarray(image).reshape(*wanted[::-1], self._channels)


class Views(Dataset):
    """Views of ``shape`` (c, h, w), cut from a picture of each image: see ViewSet.

    Sample s is view s % view_num of image s // view_num. Pictures are what ``picture`` gives of an
    image, or without it the images themselves; ``size`` is that of the crops of a picture. With
    ``fit`` the views have the size that it makes of that of their picture, and only views of one
    image can be loaded together. Raises DataError for images of other channels than ``shape`` or
    smaller.
    """

    def __init__(
        self,
        images: Dataset,
        shape: tuple[int, int, int],
        views: ViewSet,
        size: Size,
        picture: Callable[[int], np.ndarray] | None = None,
        fit: Callable[[Size], Size] | None = None,
    ):
        check_covers((images.shape[0], *size[::-1]) if picture else images.shape, shape)
        self.view_num = views.count
        names = repeated(images.names, self.view_num)
        labels = np.repeat(images.labels, self.view_num)
        super().__init__(images.class_labels, labels, names, shape)
        self.bad = images.bad  # of which there may be more later
        self.any_size = fit is not None
        self.loose: Loose | None = getattr(images, "loose", None)
        self._images, self._views, self._size = images, views, size
        self._picture, self._fit = picture, fit

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.load(indices, np.zeros(len(indices), np.uint64), training=False).images

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        rows, place = np.unique(indices // self.view_num, return_inverse=True)
        pictures, targets = self._pictures(rows, keys)
        channels, height, width = self.shape
        if self._fit:
            assert len(rows) == 1, rows
            width, height = self._fit(pictures[0].shape[1::-1])
        cut = np.empty((len(indices), height, width, channels), pictures[0].dtype)
        shifts = np.empty((len(indices), 3), np.int32)
        views = [
            self._views.of(each.shape[1::-1], self._size, (width, height)) for each in pictures
        ]
        for slot, number in enumerate(indices % self.view_num):
            x, y, *shifts[slot] = view = views[place[slot]][number]
            part = pictures[place[slot]][y : y + height, x : x + width]
            cut[slot] = part[:, ::-1] if view.mirrored else part
        targets = {name: values[place] for name, values in targets.items()}
        return Samples(cut, targets | {"shift": shifts}, indices)

    def _pictures(
        self, rows: np.ndarray, keys: np.ndarray
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Return the pictures of these images, and their classes where they are known."""
        if not self._picture:
            images, targets, _ = self._images.load(rows, keys[: len(rows)], False)
            return list(images), targets
        known = {"class_index": self._images.labels[rows]} if self._images.classified else {}
        return [self._picture(row) for row in rows.tolist()], known


def check_covers(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raise DataError unless views of a shape (c, h, w) can be cut from images of another."""
    if found[0] != wanted[0] or found[1] < wanted[1] or found[2] < wanted[2]:
        ours, theirs = ("x".join(map(str, each)) for each in (found, wanted))
        raise DataError(
            f"images are {ours} (channels x height x width) but views of {theirs} are to be "
            "cut from them: give larger ones, or --predict-mode single without --views"
        )
