"""Random crops of single images: what part of them a network sees.

A crop mode chooses a view by the size and the boxes of an image alone, before it is decoded. In
2017 ``resnet`` could not run, and ``ssd`` never cropped into the border that it had added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.dataset.image.boxes import View
from denet.dataset.image.options import CROP_MODES, ImageOptions, Size
from denet.detect.box import area, iou

_RESNET_SIDES = (256 / 224, 480 / 224)  # of the shorter side, as parts of the crop
_SSD_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_SSD_TRIALS = 50
_SSD_SCALES = (0.3, 1.0)
_DENET_SHARE = 0.5  # of a box that a crop must show

_SALT = 1 << 32  # apart from those of the network's own random ops
Choose = Callable[[ImageOptions, Size, np.ndarray, np.random.Generator], View]


class Sources:
    """The sources of all that is random about samples, each valid until the next is asked for.

    NumPy takes ten times as long to make a generator as to give one another key.
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox(key=0)
        self._begin: Any = self._bits.state
        self._generator = np.random.Generator(self._bits)

    def of(self, key: int, salt: int = _SALT) -> np.random.Generator:
        """Return that of one sample, which its key determines."""
        self._begin["state"]["key"][:] = key, salt
        self._bits.state = self._begin
        return self._generator


def generator(key: int, salt: int = _SALT) -> np.random.Generator:
    """Return the source of all that is random about one sample, which its key determines."""
    return Sources().of(key, salt)


def scaled_size(size: Size, scale: Size, mode: str) -> Size:
    """Return the size of an image scaled to cover ("small") or fit into ("large") ``scale``.

    One side is met exactly, the other rounded up; "warp" meets both.
    """
    (width, height), (wanted_width, wanted_height) = size, scale
    if mode == "warp":
        return scale
    if (wanted_width * height >= wanted_height * width) == (mode == "small"):
        return wanted_width, -(-height * wanted_width // width)
    return -(-width * wanted_height // height), wanted_height


def centre_view(options: ImageOptions, size: Size) -> View:
    """Return the middle of a scaled image: what prediction sees."""
    scaled = scaled_size(size, options.scale, options.scale_mode)
    return _place(size, scaled, [_middle(d) for d in _spare(scaled, options.crop)])


def centre_shift(options: ImageOptions, size: Size, view: View) -> tuple[int, int, bool]:
    """Return how far right and down of ``centre_view`` a view of the same scale lies; mirrored?

    In pixels of the network; (0, 0) for views of another scale: they show other parts.
    """
    centre = centre_view(options, size)
    same = view[:2] == centre[:2]
    right, down = (int(view[n] - centre[n]) if same else 0 for n in (2, 3))
    return right, down, view.mirrored


def ten_views(options: ImageOptions, size: Size) -> list[View]:
    """Return centre, top left, top right, bottom left, bottom right; then all of them mirrored."""
    scaled = scaled_size(size, options.scale, options.scale_mode)
    spare = _spare(scaled, options.crop)
    middle = [_middle(d) for d in spare]
    first, last = (
        [wanted if d > 0 else m for wanted, d, m in zip(corner, spare, middle, strict=True)]
        for corner in ((0, 0), spare)
    )
    offsets = [middle, first, [last[0], first[1]], [first[0], last[1]], last]
    views = [_place(size, scaled, offset) for offset in offsets]
    return views + [view._replace(mirrored=True) for view in views]


def _spare(scaled: Size, crop: Size) -> list[int]:
    return [scaled[0] - crop[0], scaled[1] - crop[1]]


def _middle(spare: int) -> int:
    return -(-spare // 2)


def _place(size: Size, scaled: Size, offset: list[int]) -> View:
    return View(scaled[0] / size[0], scaled[1] / size[1], offset[0], offset[1])


def _region(options: ImageOptions, x: float, y: float, width: float, height: float) -> View:
    """Return the view that shows this part of an image, in its pixels, and nothing else."""
    scale_x, scale_y = options.crop[0] / width, options.crop[1] / height
    return View(scale_x, scale_y, x * scale_x, y * scale_y)


def _padded(size: Size, crop: Size) -> tuple[float, float, float, float]:
    """Return x, y, width and height of the part around an image that has the shape of ``crop``.

    In pixels of the image; for a square crop, the square of its longer side.
    """
    scale = max(size[0] / crop[0], size[1] / crop[1])
    width, height = scale * crop[0], scale * crop[1]
    return (size[0] - width) / 2, (size[1] - height) / 2, width, height


def _random_offset(
    options: ImageOptions, size: Size, scaled: Size, rng: np.random.Generator
) -> View:
    spare = _spare(scaled, options.crop)
    offset = [int(rng.integers(d + 1)) if d > 0 else _middle(d) for d in spare]
    return _place(size, scaled, offset)


def _default(
    options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator
) -> View:
    """Scale, then crop anywhere; what is too small gets black borders."""
    return _random_offset(options, size, scaled_size(size, options.scale, options.scale_mode), rng)


def _center(options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator) -> View:
    """Scale, then crop the centre."""
    return centre_view(options, size)


def _lenet(options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator) -> View:
    """A part of random area and aspect, scaled to the crop (Szegedy et al. 2015, section 6)."""
    for _ in range(options.max_trials):
        part = size[0] * size[1] * rng.uniform(options.area_min, 1)
        aspect = rng.uniform(options.aspect_factor, 1 / options.aspect_factor)
        width, height = round(math.sqrt(part * aspect)), round(math.sqrt(part / aspect))
        if rng.random() < 0.5:
            width, height = height, width
        if 0 < width <= size[0] and 0 < height <= size[1]:
            x, y = rng.integers(size[0] - width + 1), rng.integers(size[1] - height + 1)
            return _region(options, int(x), int(y), width, height)
    return centre_view(options, size)


def _resnet(options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator) -> View:
    """Shorter side of random length, then a crop anywhere (He et al. 2015, section 3.4).

    256 to 480 pixels for the paper's crop of 224, and in proportion for others.
    """
    low, high = (round(side * max(options.crop)) for side in _RESNET_SIDES)
    side = int(rng.integers(low, high + 1))
    return _random_offset(options, size, scaled_size(size, (side, side), "small"), rng)


def _denet(options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator) -> View:
    """A part of random area and aspect of the padded image that shows half of some box.

    The whole padded image where no trial does, so always for images without boxes. The padding
    gives the image the shape of the crop: a square in 2017.
    """
    left, top, full_width, full_height = _padded(size, options.crop)
    for _ in range(options.max_trials if len(boxes) else 0):
        part = rng.uniform(options.area_min, 1)
        aspect = options.aspect_factor ** rng.uniform(-1, 1)
        width, height = (
            full_width * math.sqrt(part * aspect),
            full_height * math.sqrt(part / aspect),
        )
        x = left + rng.random() * (full_width - width)
        y = top + rng.random() * (full_height - height)
        shown = np.clip(boxes, (x, y, x, y), (x + width, y + height) * 2)
        inside = width <= full_width and height <= full_height
        if inside and (area(shown) >= _DENET_SHARE * area(boxes)).any():
            return _region(options, x, y, width, height)
    return _region(options, left, top, full_width, full_height)


def _ssd(options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator) -> View:
    """One of up to seven parts, shaped as the crop, of the padded image (Liu et al. 2016, 2.2).

    The whole, and for each least overlap the first random part that overlaps some box by more.
    """
    left, top, width, height = _padded(size, options.crop)
    scales = rng.uniform(*_SSD_SCALES, (len(_SSD_OVERLAPS), _SSD_TRIALS))
    widths, heights = width * scales, height * scales
    x = left + rng.random(scales.shape) * (width - widths)
    y = top + rng.random(scales.shape) * (height - heights)
    parts = np.stack([x, y, x + widths, y + heights], axis=-1)
    best = iou(parts, boxes).max(axis=-1, initial=0)
    fits = best > np.array(_SSD_OVERLAPS)[:, None]
    candidates = [(left, top, width, height)]
    for row in np.flatnonzero(fits.any(axis=1)):
        column = int(fits[row].argmax())
        candidates.append(
            (x[row, column], y[row, column], widths[row, column], heights[row, column])
        )
    chosen = candidates[int(rng.integers(len(candidates)))]
    return _region(options, *map(float, chosen))


@dataclass(frozen=True)
class CropMode:
    """How training chooses a view, and the filters of Pillow, one of them at random."""

    choose: Choose
    filters: tuple[str, ...] = ("LANCZOS",)


MODES: dict[str, CropMode] = {
    "default": CropMode(_default),
    "center": CropMode(_center),
    "lenet": CropMode(_lenet, ("BICUBIC",)),
    "resnet": CropMode(_resnet),
    "denet": CropMode(_denet),
    "ssd": CropMode(_ssd, ("NEAREST", "BOX", "BILINEAR", "BICUBIC", "LANCZOS")),
}
assert tuple(MODES) == CROP_MODES


def random_view(
    options: ImageOptions, size: Size, boxes: np.ndarray, rng: np.random.Generator
) -> tuple[View, str]:
    """Return a view of an image with ``boxes`` (T, 4) in pixels, mirrored or not, and a filter."""
    mode = MODES[options.crop_mode]
    view = mode.choose(options, size, boxes, rng)
    resample = mode.filters[int(rng.integers(len(mode.filters)))]
    return view._replace(mirrored=bool(rng.random() < 0.5)), resample
