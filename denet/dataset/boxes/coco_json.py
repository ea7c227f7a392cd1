"""The JSON of COCO: lists of images, categories and annotations, checked and joined."""

from __future__ import annotations

import logging
import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from denet.dataset.annotation_file import read_class_labels
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.json_lists import read_lists
from denet.dataset.class_names import ForeignClassError, class_ids
from denet.dataset.image.boxes import Boxes
from denet.errors import DataError
from denet.memory import room
from denet.printable import counted

log = logging.getLogger(__name__)

_NAME_BYTES, _BOX_BYTES = 1000, 300  # of memory for what becomes of an image and of a box
_LARGEST_AREA = 1e18
_NO_NUMBER = "is missing or not a whole number of 64 bits"


class Part(NamedTuple):
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
    above: Set[str]  # names of other categories that categories are told to belong to

    def without(self, names: Set[str]) -> Part:
        """Return the same without these categories, which no box has."""
        kept = {name: number for name, number in self.categories.items() if name not in names}
        place = {name: position for position, name in enumerate(kept)}
        new = np.array([place.get(name, -1) for name in self.categories], np.int64)
        return self._replace(categories=kept, category=new[self.category])


class _Columns:
    """What a file holds: its images and categories, and its boxes as columns of numbers."""

    def __init__(self) -> None:
        self.images: list[tuple[str, int, tuple[int, int]]] = []  # file, number, (width, height)
        self.categories: list[tuple[str, int]] = []  # name, number
        self.above: set[str] = set()
        self.image_id, self.category_id, self.crowd = array("q"), array("q"), array("b")
        self.boxes, self.area = array("d"), array("d")
        self.ids = array("q")  # of the annotations that have one

    def add_image(self, position: int, entry: Any) -> None:
        self.images.append(_image(position, entry))

    def add_category(self, position: int, entry: Any) -> None:
        self.categories.append(_category(position, entry))
        if isinstance(above := entry.get("supercategory"), str) and above != entry["name"]:
            self.above.add(above)

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


def read_part(file: str, folder_of: Callable[[Sequence[str]], str]) -> Part:
    """Return what a file holds, its images in the folder that ``folder_of`` gives for their names.

    Raises DataError naming the file and the field that is wrong.
    """
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
            return _part(folder_of, columns)
        except ValueError as error:
            raise DataError(f"damaged annotations: {file}: {error}") from None


def join_parts(path: str, parts: Sequence[Part], published: bool = False) -> Annotated:
    """Return the images of all parts, one behind the other.

    The classes are those of labels.txt in ``path``, else the categories in order of appearance.
    """
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
        published=listed is None and published,
    )


def _renumber(part: Part, ids: dict[str, int]) -> np.ndarray:
    """Return the class id of each box."""
    found: np.ndarray = np.array([ids[name] for name in part.categories], np.int64)[part.category]
    return found


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


def _part(folder_of: Callable[[Sequence[str]], str], columns: _Columns) -> Part:
    """Check and join what a file holds; ValueError names the field that is wrong."""
    corners = np.asarray(columns.boxes, np.float64).reshape(-1, 4)
    wrong = np.flatnonzero(~np.isfinite(corners).all(axis=1))
    if len(wrong):
        raise ValueError(f"annotations[{wrong[0]}].bbox holds something else than numbers")
    with np.errstate(over="ignore"):  # infinite: clipped to the image
        corners[:, 2:] += corners[:, :2]
    folder = folder_of([file for file, _, _ in columns.images])
    ids = [image_id for _, image_id, _ in columns.images]
    names = Counter(each for each, _ in columns.categories)
    if twice := [each for each, count in names.items() if count > 1]:
        raise ValueError(f"two categories are called {twice[0][:80]!r}: rename one")
    numbers = [number for _, number in columns.categories]
    return Part(
        [os.path.join(folder, file) for file, _, _ in columns.images],
        ids,
        [size for _, _, size in columns.images],
        dict(columns.categories),
        _positions(columns.image_id, ids, "image_id", "images"),
        corners,
        _positions(columns.category_id, numbers, "category_id", "categories"),
        np.asarray(columns.crowd, np.bool_),
        np.asarray(columns.area, np.float64),
        columns.above,
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
