"""The options that ``--extension imagenet|mscoco|voc`` carries: how images are cropped."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from denet.errors import UsageError, nearest_hint

Size = tuple[int, int]  # (width, height)

CROP_MODES = ("default", "center", "lenet", "resnet", "denet", "ssd")
SCALE_MODES = ("small", "large", "warp")


@dataclass(frozen=True)
class ImageOptions:
    """How an image becomes a network input; the defaults are those of 2017.

    crop               size of the network input
    scale              size that an image is scaled to first, ``crop`` if not given
    scale_mode         small: covers ``scale``; large: fits into it; warp: both sides are scaled
    multicrop          ten views per image in prediction: centre, corners, and all mirrored
    crop_mode          how training crops: see ``denet.dataset.augment``
    max_trials         attempts of lenet and denet before the whole image is taken
    area_min           smallest area of a random crop, as part of the image
    aspect_factor      largest change of shape of a random crop: aspects a to 1 / a
    subtract_mean      normalise new networks by the constants of ImageNet, whatever the data
    augment_photo      vary contrast, brightness and saturation in training
    augment_color      shift colours along the principal components of ImageNet in training
    check_onscreen     a box is a target if this part of its area is in the crop
    check_center       or if its centre is
    bbox_only          leave out images without boxes
    null               add a class called null (imagenet)
    images_per_subset  images that a subset had in 2017; today it only gives subset_num its unit
    subset_num         take at most so many subsets of the images
    """

    crop: Size = (224, 224)
    scale: Size = (224, 224)
    scale_mode: str = "small"
    multicrop: bool = False
    crop_mode: str = "default"
    max_trials: int = 10
    area_min: float = 0.08
    aspect_factor: float = 0.75
    subtract_mean: bool = False
    augment_photo: bool = False
    augment_color: bool = False
    check_onscreen: float = 0.5
    check_center: bool = False
    bbox_only: bool = False
    null: bool = False
    images_per_subset: int = 10000
    subset_num: int | None = None

    @property
    def most_images(self) -> int | None:
        """Images of all subsets together; None for no limit."""
        return self.subset_num and self.subset_num * self.images_per_subset


def parse_size(text: str) -> Size:
    """Return (width, height) of N or WxH; ValueError, which says what to give."""
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if not match or max(sides := [int(side or match[1]) for side in match.groups()]) > 65536:
        raise ValueError("a size in pixels, 64 or WIDTHxHEIGHT, each from 1 to 65536")
    return sides[0], sides[1]


def _flag(text: str) -> bool:
    words = {"1": True, "true": True, "0": False, "false": False}
    if text.lower() not in words:
        raise ValueError("nothing, 1 or 0")
    return words[text.lower()]


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise ValueError("a positive whole number")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise ValueError("a number above 0 and at most 1")
    return value


def _choice(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}{nearest_hint(text, list(words))}")
        return text

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "crop": parse_size,
    "scale": parse_size,
    "scale_mode": _choice(SCALE_MODES),
    "multicrop": _flag,
    "crop_mode": _choice(CROP_MODES),
    "max_trials": _count,
    "area_min": _share,
    "aspect_factor": _share,
    "subtract_mean": _flag,
    "augment_photo": _flag,
    "augment_color": _flag,
    "check_onscreen": _share,
    "check_center": _flag,
    "bbox_only": _flag,
    "images_per_subset": _count,
    "subset_num": _count,
}
OPTION_NAMES = tuple(_PARSERS)
_PARSERS["null"] = _flag  # of imagenet alone


def parse_image_options(given: Mapping[str, str | bool]) -> ImageOptions:
    """Return the options of an ``--extension``: text, or True where no value is given."""
    values: dict[str, Any] = {}
    for name, text in given.items():
        try:
            if text is True and _PARSERS[name] is not _flag:
                raise ValueError(f"a value, {name}=VALUE")
            values[name] = True if text is True else _PARSERS[name](str(text))
        except ValueError as error:
            shown = name if text is True else f"{name}={text}"
            raise UsageError(f"{shown}: --extension: give {error}") from None
    if "crop" in values:
        values.setdefault("scale", values["crop"])
    return ImageOptions(**values)
