"""MS COCO: annotations/instances_SPLIT.json, and its images in SPLIT/.

Published splits are called 2014-train or 2015-test-dev in 2017's way, for train2014 and
test-dev2015; any other name is taken as it is.
"""

from __future__ import annotations

import logging
import math
import os
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from denet.dataset.annotation_file import read_class_labels
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.json_lists import read_lists
from denet.dataset.class_names import ForeignClassError, class_ids
from denet.dataset.image.boxes import Boxes
from denet.dataset.layout import nothing_at
from denet.errors import DataError, UsageError, nearest_hint
from denet.memory import room
from denet.printable import counted

log = logging.getLogger(__name__)

_YEAR_SPLIT = re.compile(r"(\d{4})-(train|val|test|test-dev)")
_NAME_BYTES, _BOX_BYTES = 1000, 300  # of memory for what becomes of an image and of a box
_LARGEST_AREA = 1e18
_NO_NUMBER = "is missing or not a whole number of 64 bits"
_FILE = re.compile(r"(?:instances|image_info)_(.+)\.json")


class _Split(NamedTuple):
    """The images of one file in order, and the columns of their boxes."""

    names: list[str]
    ids: list[int]
    sizes: list[tuple[int, int]]
    categories: dict[str, int]  # name -> number
    image: np.ndarray  # (T,) position in names
    corners: np.ndarray  # (T, 4) float64
    category: np.ndarray  # (T,) position in categories
    crowd: np.ndarray  # (T,) bool
    area: np.ndarray  # (T,) float64, nan where not told


class _Columns:
    """What a file holds: its images and categories, and its boxes as columns of numbers."""

    def __init__(self) -> None:
        self.images: list[tuple[str, int, tuple[int, int]]] = []  # file, number, (width, height)
        self.categories: list[tuple[str, int]] = []  # name, number
        self.image_id, self.category_id, self.crowd = array("q"), array("q"), array("b")
        self.boxes, self.area = array("d"), array("d")
        self.ids = array("q")  # of the annotations that have one

    def add_image(self, position: int, entry: Any) -> None:
        self.images.append(_image(position, entry))

    def add_category(self, position: int, entry: Any) -> None:
        self.categories.append(_category(position, entry))

    def add_annotation(self, position: int, entry: Any) -> None:
        place = f"annotations[{position}]"
        if not isinstance(entry, dict) or "bbox" not in entry:
            raise ValueError(f"{place} has no bbox")
        box = entry["bbox"]
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError(f"{place}.bbox is not [x, y, width, height]")
        for name, column in (("image_id", self.image_id), ("category_id", self.category_id)):
            try:
                column.append(entry[name])
            except (KeyError, TypeError, OverflowError):
                raise ValueError(f"{place}.{name} {_NO_NUMBER}") from None
        try:
            self.boxes.extend(box)
        except (TypeError, OverflowError):
            raise ValueError(f"{place}.bbox holds something else than numbers") from None
        if _is_number(number := entry.get("id")):
            self.ids.append(number)
        self.crowd.append(bool(entry.get("iscrowd")))
        area = entry.get("area")
        if not isinstance(area, int | float) or not 0 <= area <= _LARGEST_AREA:
            area = math.nan
        self.area.append(area)


def is_at(path: str) -> bool:
    """Say whether there are annotations of this layout at ``path``."""
    return bool(split_names(path))


def split_names(path: str) -> list[str]:
    """Return the splits that there are annotations of, as ``--extension`` names them."""
    return _known(os.path.join(path, "annotations"))


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits in the order of their files, with their boxes.

    Boxes are (x, y, x + width, y + height), counted from 0. The classes are those of labels.txt,
    else the categories in order of appearance, whatever their numbers.
    """
    folder = os.path.join(path, "annotations")
    if not _known(folder):
        raise nothing_at(path, "annotations/instances_*.json")
    if not splits:
        raise UsageError(
            f"mscoco: --extension: name the splits to use, such as mscoco,2014-train: {folder} "
            f"has {', '.join(_known(folder))}"
        )
    parts = [_read_split(path, folder, split) for split in splits]
    categories: dict[str, int] = {}
    for part in parts:
        categories |= {each: n for each, n in part.categories.items() if each not in categories}
    labels_file, listed = read_class_labels(path)
    try:
        ids = class_ids(list(categories), listed, labels_file, "labels.txt")
    except ForeignClassError as error:
        raise ForeignClassError(f"{error}, or add it to labels.txt") from None
    first = np.cumsum([0, *(len(part.names) for part in parts)])
    boxes = Boxes.gather(
        int(first[-1]),
        np.concatenate([part.image + start for part, start in zip(parts, first, strict=False)]),
        np.concatenate([part.corners for part in parts]),
        np.concatenate([_renumber(part, ids) for part in parts]),
        crowd=np.concatenate([part.crowd for part in parts]),
        object_area=np.concatenate([part.area for part in parts]),
    )
    return Annotated(
        [name for part in parts for name in part.names],
        [image_id for part in parts for image_id in part.ids],
        boxes,
        list(ids),
        np.array([size for part in parts for size in part.sizes], np.int64).reshape(-1, 2),
        category_ids=[categories.get(name, -1) for name in ids],
        published=listed is None and all(map(_YEAR_SPLIT.fullmatch, splits)),
    )


def _renumber(part: _Split, ids: dict[str, int]) -> np.ndarray:
    """Return the class id of each box."""
    found: np.ndarray = np.array([ids[name] for name in part.categories], np.int64)[part.category]
    return found


def _known(folder: str) -> list[str]:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(match[1] for match in map(_FILE.fullmatch, names) if match)


def _read_split(path: str, folder: str, split: str) -> _Split:
    match = _YEAR_SPLIT.fullmatch(split)
    name = match[2] + match[1] if match else split
    places = [os.path.join(folder, f"{kind}_{name}.json") for kind in ("instances", "image_info")]
    file = next(filter(os.path.isfile, places), None)
    if file is None:
        known = _known(folder)
        raise DataError(
            f"no annotations for {split!r}{nearest_hint(name, known)}: no such file "
            f"{os.path.abspath(places[0])}: there are {', '.join(known)}; see the "
            "options in the README"
        )
    columns = _Columns()
    found = read_lists(
        file,
        {
            "images": columns.add_image,
            "categories": columns.add_category,
            "annotations": columns.add_annotation,
        },
    )
    _tell_repeated(columns.ids, file)
    names = len(columns.images) + len(columns.categories)
    needed = _NAME_BYTES * names + _BOX_BYTES * len(columns.crowd)
    mend = "split them, or use a machine with more memory"
    with room(needed, f"annotations: {file}", mend):
        try:
            if lacking := [each for each in ("images", "categories") if each not in found]:
                raise ValueError(f"it holds no {lacking[0]}")
            return _split(path, name, columns)
        except ValueError as error:
            raise DataError(f"damaged annotations: {file}: {error}") from None


def _tell_repeated(ids: Sequence[int], file: str) -> None:
    """Warn of annotations of one id: here each counts, but not wherever ids are looked up."""
    values, counts = np.unique(np.asarray(ids, np.int64), return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    if len(repeated):
        first = repeated[0]
        log.warning(
            "%s: %s of several annotations: %d of them have %d: each counts here, but other tools "
            "keep one: number them anew",
            *(file, counted(len(repeated), "id"), counts[first], values[first]),
        )


def _split(path: str, name: str, columns: _Columns) -> _Split:
    """Check and join what a file holds; ValueError names the field that is wrong."""
    corners = np.asarray(columns.boxes, np.float64).reshape(-1, 4)
    wrong = np.flatnonzero(~np.isfinite(corners).all(axis=1))
    if len(wrong):
        raise ValueError(f"annotations[{wrong[0]}].bbox holds something else than numbers")
    with np.errstate(over="ignore"):  # infinite: clipped to the image
        corners[:, 2:] += corners[:, :2]
    folder = _image_folder(path, name, [file for file, _, _ in columns.images])
    ids = [image_id for _, image_id, _ in columns.images]
    names = Counter(each for each, _ in columns.categories)
    if twice := [each for each, count in names.items() if count > 1]:
        raise ValueError(f"two categories are called {twice[0][:80]!r}: rename one")
    numbers = [number for _, number in columns.categories]
    return _Split(
        [os.path.join(folder, file) for file, _, _ in columns.images],
        ids,
        [size for _, _, size in columns.images],
        dict(columns.categories),
        _positions(columns.image_id, ids, "image_id", "images"),
        corners,
        _positions(columns.category_id, numbers, "category_id", "categories"),
        np.asarray(columns.crowd, np.bool_),
        np.asarray(columns.area, np.float64),
    )


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def _image(position: int, entry: Any) -> tuple[str, int, tuple[int, int]]:
    """Return file, number and (width, height), 0 if not told."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    file, image_id = fields.get("file_name"), fields.get("id")
    size: list[Any] = [fields.get("width"), fields.get("height")]
    if not isinstance(file, str) or not file:
        raise ValueError(f"images[{position}].file_name is missing")
    if os.path.isabs(file) or ".." in file.replace("\\", "/").split("/") or "\0" in file:
        raise ValueError(f"images[{position}].file_name leaves the folder of the images")
    if not _is_number(image_id):
        raise ValueError(f"images[{position}].id {_NO_NUMBER}")
    told = all(isinstance(side, int) and 0 < side < 1 << 31 for side in size)
    return file, image_id, (size[0], size[1]) if told else (0, 0)


def _category(position: int, entry: Any) -> tuple[str, int]:
    """Return name and number."""
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    name, number = map(fields.get, ("name", "id"))
    if not isinstance(name, str) or not name:
        raise ValueError(f"categories[{position}].name is missing")
    if not _is_number(number):
        raise ValueError(f"categories[{position}].id {_NO_NUMBER}")
    return name, number


def _positions(wanted: Sequence[int], numbers: list[int], field: str, where: str) -> np.ndarray:
    """Return the position of each wanted number among ``numbers``, which may have gaps."""
    known = np.array(numbers, np.int64)
    order = np.argsort(known, kind="stable")
    ranked = known[order]
    twice = np.flatnonzero(ranked[1:] == ranked[:-1])
    if len(twice):
        raise ValueError(f"{where} holds the id {ranked[twice[0]]} twice")
    asked = np.asarray(wanted, np.int64)
    place = np.minimum(np.searchsorted(ranked, asked), max(len(ranked) - 1, 0))
    foreign = np.flatnonzero(ranked[place] != asked) if len(ranked) else np.arange(len(asked))
    if len(foreign):
        first = int(foreign[0])
        raise ValueError(f"annotations[{first}].{field} {asked[first]} is not in {where}")
    found: np.ndarray = order[place] if len(ranked) else place
    return found


def _image_folder(path: str, name: str, files: list[str]) -> str:
    """Return the folder of a split's images: the first of the usual ones that holds one."""
    own = name.replace("-dev", "")  # test-dev2015 is a part of test2015
    usual = [os.path.join(path, own), os.path.join(path, "images", own)]
    usual += [os.path.join(path, "images"), path]
    return next(
        (each for each in usual if any(os.path.isfile(os.path.join(each, f)) for f in files[:100])),
        usual[0],
    )
