"""Datasets: ``open_dataset`` turns a path and an ``--extension`` into labelled images."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from denet.dataset.base import BadDataError, BadSample, Dataset, Opening
from denet.dataset.boxes.layouts import AUTO, LAYOUTS
from denet.dataset.class_names import names_text
from denet.dataset.image.options import OPTION_NAMES
from denet.errors import DataError, UsageError, nearest_hint

log = logging.getLogger(__name__)

__all__ = [
    "BadDataError",
    "BadSample",
    "Dataset",
    "FORMATS",
    "Format",
    "Opening",
    "open_dataset",
    "parse_extension",
]


@dataclass(frozen=True)
class Format:
    """Where a kind of dataset is opened, and the options its ``--extension`` may carry.

    The opener takes (path, kind, opening) and the options as keywords: text, or True for an option
    without a value.
    """

    module: str
    opener: str
    options: tuple[str, ...] = ()
    converts: bool = False  # the opener takes ``shape``, whose channels images are brought to
    splits: bool = False  # bare words are parts of the data: the opener takes ``splits``


_DIRECTORY = Format("denet.dataset.classes.directory", "open_directory", ("crop",), converts=True)
_ARRAY = Format("denet.dataset.classes.array", "open_array")
_ANNOTATED = Format("denet.dataset.boxes.open", "open_annotated", OPTION_NAMES, splits=True)

# images with boxes, by the layout of their annotations
ANNOTATED = {
    AUTO: replace(_ANNOTATED, opener="open_auto"),
    "imagenet": replace(_ANNOTATED, options=(*OPTION_NAMES, "null"), splits=False),
    **dict.fromkeys(LAYOUTS, _ANNOTATED),
}
# An image suffix that Pillow reads ("png", "jpg", ...) is a kind too: a directory of that format.
FORMATS: dict[str, Format] = {
    "image": _DIRECTORY,
    "npy": _ARRAY,
    "npz": _ARRAY,
    "cifar": Format("denet.dataset.classes.cifar", "open_cifar", ("labels",), splits=True),
    "svhn": Format("denet.dataset.classes.svhn", "open_svhn", splits=True),
    **ANNOTATED,
}


def open_dataset(
    path: str | os.PathLike[str],
    extension: str,
    *,
    mirror: bool = False,
    shape: tuple[int, int, int] | None = None,
    option: str = "extension",
    **settings: Any,
) -> Dataset:
    """Open the dataset at ``path``; ``extension`` is KIND[,OPTION[=VALUE]...].

    mirror    append a mirrored copy of every sample
    shape     (c, h, w) the images must have
    option    what says ``extension``, for messages
    settings  those of Opening: class_labels, max_samples, seed, thread_num, ...

    Raises UsageError for the extension and DataError for the data.
    """
    kind, format_, options = parse_extension(extension)
    if kind in ANNOTATED and shape:
        options.setdefault("crop", f"{shape[2]}x{shape[1]}")
    opener = getattr(importlib.import_module(format_.module), format_.opener)
    dataset: Dataset = opener(
        os.fspath(path),
        kind,
        Opening(**settings),
        **({"shape": shape} if shape and format_.converts else {}),
        **options,
    )
    if shape is not None and dataset.shape != tuple(shape):
        given, wanted = (f"{w}x{h} with {c} channels" for c, h, w in (dataset.shape, shape))
        mend = "resize the images, or the model with model-modify --image-size"
        if "crop" in format_.options and dataset.shape[0] == shape[0]:
            words = [each for each in extension.split(",") if not each.startswith("crop=")]
            crop = f"crop={shape[2]}x{shape[1]}"
            mend = f"give --{option} {','.join([*words, crop])}, or resize the model: model-modify"
        raise DataError(f"images are {given}, but {wanted} are needed: {path}: {mend}")
    missing = [dataset.class_labels[k] for k in _absent(dataset)]
    if 0 < len(missing) < len(dataset.class_labels):
        log.warning(
            "%s: no images of %d of %d classes: %s",
            *(path, len(missing), len(dataset.class_labels), names_text(missing)),
        )
    if mirror:
        dataset.append_mirrored()
    return dataset


def _absent(dataset: Dataset) -> np.ndarray:
    """Return the ids of the classes that no sample shows."""
    return np.flatnonzero(dataset.class_counts() == 0)


def parse_extension(extension: str) -> tuple[str, Format, dict[str, Any]]:
    """Return (kind, format, options) of KIND[,OPTION[=VALUE]...]; UsageError if it is unknown."""
    word, *settings = extension.split(",")
    kind = word.strip().lower().removeprefix(".")
    format_ = FORMATS.get(kind) or _image_format(kind, word)
    options: dict[str, Any] = {"splits": ()} if format_.splits else {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if name not in format_.options and format_.splits and name and not equals:
            options["splits"] += (name,)
            continue
        if name not in format_.options:
            known = ", ".join(format_.options) or "none"
            hint = nearest_hint(name, list(format_.options))
            raise UsageError(
                f"unknown option {name!r}{hint}: --extension {extension}: {kind} takes {known}"
            )
        if name in options:
            raise UsageError(f"{name}: twice in --extension {extension}: leave one of them out")
        options[name] = value if equals else True
    return kind, format_, options


def _image_format(kind: str, word: str) -> Format:
    from denet.dataset.image.decode import image_suffixes

    kinds = [suffix[1:] for suffix in image_suffixes()]
    if kind in kinds:
        return _DIRECTORY
    known = ", ".join(FORMATS)
    raise UsageError(
        f"unknown kind of dataset {word!r}{nearest_hint(kind, [*FORMATS, *kinds])}: --extension: "
        f"give one of {known}, or an image suffix such as png or jpg"
    )
