"""The options that ``--extension imagenet|mscoco|voc`` carries: how images are cropped."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from denet.errors import UsageError, nearest_hint
from denet.kind import Choice, Flag, Integer, Kind, Real

Size = tuple[int, int]  # (width, height)

CROP_MODES = ("default", "center", "lenet", "resnet", "denet", "ssd")
RANDOM_PARTS = ("lenet", "denet")  # those of them that draw area and shape
SCALE_MODES = ("small", "large", "warp")
IMAGENET, DATA = "imagenet", "data"  # whose colours vary
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels 0 to 1


@dataclass(frozen=True)
class ImageOptions:
    """How an image becomes a network input; the defaults are those of 2017.

    crop               size of the network input
    scale              size that an image is scaled to first, ``crop`` if not given
    scale_mode         small: covers ``scale``; large: fits into it; warp: both sides are scaled
    multicrop          ten views per image in prediction: centre, corners, and all mirrored
    crop_mode          how training crops: see ``denet.dataset.image.augment``
    max_trials         attempts of lenet and denet before the whole image is taken
    area_min           smallest area of a random crop, as part of the image
    aspect_factor      largest change of shape of a random crop: aspects a to 1 / a
    subtract_mean      normalise by the constants of ImageNet, whatever the data, in networks that
                       are new or know no normalisation
    mosaic             share of training samples that show four images, each in a part of the input
    augment_photo      vary contrast, brightness and saturation in training, each by a factor of
                       up to 1 -+ this
    augment_color      shift colours along their principal components in training, by the
                       eigenvalues times numbers of this standard deviation
    color_components   those of ImageNet, or of the training set itself (data), measured on what
                       normalisation is measured on: 500 images, for a mean image all
    check_onscreen     a box is a target if this part of its area is in the crop
    check_center       or if its centre is
    split              share of the images to train on, the others are tested on; None for all
    bbox_only          leave out images without boxes
    null               add a class called null (imagenet)
    images_per_subset  images of a subset, the unit of subset_num
    subset_num         an epoch is so many subsets, drawn anew each time; in a set that is not
                       trained on, they are drawn once
    """

    crop: Size = (224, 224)
    scale: Size = (224, 224)
    scale_mode: str = "small"
    multicrop: bool = False
    crop_mode: str = "default"
    max_trials: int = 10
    area_min: float = 0.08
    aspect_factor: float = 0.75
    mosaic: float = 0.0
    subtract_mean: bool = False
    augment_photo: float = 0.0
    augment_color: float = 0.0
    color_components: str = IMAGENET
    check_onscreen: float = 0.5
    check_center: bool = False
    split: float | None = None
    bbox_only: bool = False
    null: bool = False
    images_per_subset: int = 10000
    subset_num: int | None = None

    @property
    def most_images(self) -> int | None:
        """Images of an epoch; None for no limit."""
        return self.subset_num and self.subset_num * self.images_per_subset

    @property
    def own_colours(self) -> bool:
        """Whether training shifts colours along the components of its own images."""
        return self.augment_color > 0 and self.color_components == DATA


class _Size(Kind):
    """Width and height."""

    rule = "a size in pixels, 64 or WIDTHxHEIGHT, each from 1 to 65536"

    def read(self, word: str) -> Size:
        match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", word, re.ASCII)
        if not match or max(sides := [int(side or match[1]) for side in match.groups()]) > 65536:
            raise self.error(word)
        return sides[0], sides[1]


@dataclass(frozen=True)
class _Strength(Flag):
    """A number, or a flag that stands for a usual one: 1 is a flag."""

    usual: float

    rule = "true or false, or a strength of at least 0 and below 1"

    def read(self, word: str) -> float:  # type: ignore[override]
        try:
            return self.usual * super().read(word)
        except ValueError:
            return Real(0, 1, below=True).read(word)


_COUNT = Integer(1, 999_999_999)
_SHARE = Real(0, 1, above=True)

_KINDS: dict[str, Kind] = {
    "crop": _Size(),
    "scale": _Size(),
    "scale_mode": Choice(SCALE_MODES),
    "multicrop": Flag(),
    "crop_mode": Choice(CROP_MODES),
    "max_trials": _COUNT,
    "area_min": _SHARE,
    "aspect_factor": _SHARE,
    "mosaic": Real(0, 1),
    "subtract_mean": Flag(),
    "augment_photo": _Strength(0.4),
    "augment_color": _Strength(0.1),
    "color_components": Choice((IMAGENET, DATA)),
    "check_onscreen": _SHARE,
    "check_center": Flag(),
    "split": Real(0, 1, above=True, below=True),
    "bbox_only": Flag(),
    "images_per_subset": _COUNT,
    "subset_num": _COUNT,
}
OPTION_NAMES = tuple(_KINDS)
# those that vary what training sees, and nothing else
TRAINING_NAMES = (
    *("crop_mode", "max_trials", "area_min", "aspect_factor"),
    *("mosaic", "augment_photo", "augment_color", "color_components"),
)
_KINDS["null"] = Flag()  # of imagenet alone


def check_used(given: Container[str], options: ImageOptions) -> None:
    """Raise UsageError for a word of training that nothing uses beside the others."""
    for name in ("max_trials", "area_min", "aspect_factor"):
        if name in given and options.crop_mode not in RANDOM_PARTS:
            raise UsageError(
                f"{name}: --extension: crop_mode={options.crop_mode} does not use it: give "
                f"crop_mode={' or '.join(RANDOM_PARTS)} too, or leave it out"
            )
    if "color_components" in given and not options.augment_color:
        raise UsageError(
            "color_components: --extension: without augment_color: give both, or leave it out"
        )


def parse_image_options(given: Mapping[str, str | bool]) -> ImageOptions:
    """Return the options of an ``--extension``: text, or True where no value is given.

    Raises UsageError for a value that is missing or wrong.
    """
    values: dict[str, Any] = {}
    for name, text in given.items():
        kind = _KINDS[name]
        if text is True and not isinstance(kind, Flag):
            raise UsageError(f"{name}: --extension: give a value, {name}=VALUE")
        try:
            values[name] = kind.read(str(text))
        except ValueError:
            hint = nearest_hint(str(text), list(kind.words)) if isinstance(kind, Choice) else ""
            raise UsageError(f"{name}={text}: --extension: give {kind.rule}{hint}") from None
    if "images_per_subset" in values and "subset_num" not in values:
        raise UsageError("images_per_subset: --extension: without subset_num: give both or neither")
    if "crop" in values:
        values.setdefault("scale", values["crop"])
    return ImageOptions(**values)
