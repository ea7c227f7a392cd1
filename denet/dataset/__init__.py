"""Datasets: ``open_dataset`` turns a path and an ``--extension`` into labelled images."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS, BadDataError, BadSample, Dataset, names_text
from denet.dataset.image_options import OPTION_NAMES
from denet.errors import DataError, UsageError, nearest_hint

log = logging.getLogger(__name__)

__all__ = [
    "BadDataError",
    "BadSample",
    "Dataset",
    "FORMATS",
    "Format",
    "open_dataset",
    "parse_extension",
]


@dataclass(frozen=True)
class Format:
    """Where a kind of dataset is opened, and the options its ``--extension`` may carry.

    The opener takes (path, kind, *, class_labels, class_owner, max_samples, seed, thread_num,
    progress, on_bad_data, max_image_pixels) and the options as further keywords: text, or True for
    an option without a value.
    """

    module: str
    opener: str
    options: tuple[str, ...] = ()
    converts: bool = False  # the opener takes ``channels``: 1 or 3 that images are brought to
    splits: bool = False  # bare words are parts of the data: the opener takes ``splits``


_DIRECTORY = Format("denet.dataset.directory", "open_directory", ("crop",), converts=True)
_ARRAY = Format("denet.dataset.array", "open_array")
_ANNOTATED = Format("denet.dataset.annotated", "open_annotated", OPTION_NAMES, splits=True)

# images with boxes, by the layout of their annotations
ANNOTATED = {
    "imagenet": replace(_ANNOTATED, options=(*OPTION_NAMES, "null"), splits=False),
    "mscoco": _ANNOTATED,
    "voc": _ANNOTATED,
}
# An image suffix that Pillow reads ("png", "jpg", ...) is a kind too: a directory of that format.
FORMATS: dict[str, Format] = {
    "image": _DIRECTORY,
    "npy": _ARRAY,
    "npz": _ARRAY,
    **ANNOTATED,
}


def open_dataset(
    path: str | os.PathLike[str],
    extension: str,
    *,
    thread_num: int | None = 1,
    class_labels: Sequence[str] | None = None,
    class_owner: str = "",
    max_samples: int | None = None,
    seed: int = 0,
    mirror: bool = False,
    progress: bool = True,
    shape: tuple[int, int, int] | None = None,
    on_bad_data: str = "error",
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Dataset:
    """Open the dataset at ``path``; ``extension`` is KIND[,OPTION[=VALUE]...].

    thread_num    decoders (0 or None: all cores)
    class_labels  class names whose positions the ids follow (those of a model or a training set)
    class_owner   what has these classes, for messages: "the model", "the training set"
    max_samples   at most so many samples, drawn by ``seed``
    mirror        append a mirrored copy of every sample
    shape         (c, h, w) the images must have
    on_bad_data   "error": bad samples raise BadDataError with all of them; "skip": they are left
                  out, see Dataset.bad
    max_image_pixels  images with more are bad and never decoded

    Raises UsageError for the extension and DataError for the data.
    """
    kind, format_, options = parse_extension(extension)
    opener = getattr(importlib.import_module(format_.module), format_.opener)
    dataset: Dataset = opener(
        os.fspath(path),
        kind,
        class_labels=class_labels,
        class_owner=class_owner,
        max_samples=max_samples,
        seed=seed,
        thread_num=thread_num,
        progress=progress,
        on_bad_data=on_bad_data,
        max_image_pixels=max_image_pixels,
        **({"channels": shape[0]} if shape and format_.converts else {}),
        **options,
    )
    if shape is not None and dataset.shape != tuple(shape):
        mend = "resize the images, or the model with model-modify --image-size"
        if "crop" in format_.options:
            crop = f"{shape[2]}x{shape[1]}"
            mend = f"give --extension {kind},crop={crop}, or resize the model with model-modify"
        given, wanted = ("x".join(map(str, dims)) for dims in (dataset.shape, shape))
        raise DataError(
            f"images are {given} (channels x height x width) but {wanted} is needed: {path}: {mend}"
        )
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
        options[name] = value if equals else True
    return kind, format_, options


def _image_format(kind: str, word: str) -> Format:
    from denet.dataset.decode import image_suffixes

    kinds = [suffix[1:] for suffix in image_suffixes()]
    if kind in kinds:
        return _DIRECTORY
    known = ", ".join(FORMATS)
    raise UsageError(
        f"unknown kind of dataset {word!r}{nearest_hint(kind, [*FORMATS, *kinds])}: --extension: "
        f"give one of {known}, or an image suffix such as png or jpg"
    )
