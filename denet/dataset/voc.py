"""Pascal VOC: ImageSets/Main/SPLIT.txt, JPEGImages/ID.jpg, Annotations/ID.xml.

Below VOCdevkit there is one such folder per year, and splits are called 2007-trainval or
2012-train; data of one's own are a single folder, with splits such as train and val.
"""

from __future__ import annotations

import logging
import os
import re
from array import array
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from denet.dataset.annotated import Annotated
from denet.dataset.annotation_file import (
    number_of,
    read_class_labels,
    read_lines,
    read_xml,
    text_of,
)
from denet.dataset.base import ForeignClassError, class_ids
from denet.dataset.boxes import Boxes
from denet.dataset.decode import image_suffixes
from denet.dataset.layout import nothing_at
from denet.errors import DataError, UsageError, nearest_hint

log = logging.getLogger(__name__)

CLASSES = [
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
]

_YEAR_FOLDER = re.compile(r"VOC(\d{4})")
# split of a year -> the files that list its images
_YEAR_SPLITS = {
    "train": {"train"},
    "val": {"val"},
    "trainval": {"train", "val"},
    "test": {"test"},
}
_YEAR_SPLIT = re.compile(r"(\d{4})-?((?:train|val|test)+)")
_FLAG = re.compile(r"\s+-?[01]$")  # of the splits of one class: 1 if the image shows it
_LONGEST_SIDE = 1 << 31
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Item(NamedTuple):
    """An image of a split; ``name`` is "" if there is no such file."""

    folder: str
    image_id: str
    name: str
    annotation: str


def is_at(path: str) -> bool:
    """Say whether there are annotations of this layout at ``path``, or in a folder of a year."""
    folders = (Path(path), *Path(path).glob("VOC[0-9][0-9][0-9][0-9]"))
    return any(_annotations(str(folder)) for folder in folders)


def split_names(path: str) -> list[str]:
    """Return the splits that are at ``path``, as ``--extension`` names them."""
    if own := _sets(path):
        return sorted(own)
    folders = map(_YEAR_FOLDER.fullmatch, _stems(path, {""}))
    years = {match[1]: match[0] for match in folders if match}
    return [
        f"{year}-{split}"
        for year, folder in years.items()
        for known in (_sets(os.path.join(path, folder)).keys(),)
        for split in _YEAR_SPLITS
        if _year_sets(known, split) <= known
    ]


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits, sorted by file, with the boxes of their annotations.

    Pixels are counted from 1 and both corners belong to the box, whose area is therefore that from
    (xmin - 1, ymin - 1) to (xmax, ymax). (DeNet of 2017 left out the last column and row.) A box
    whose corners coincide in x or in y is a click, not a box: it gets no area. The classes are
    those of labels.txt, else the published twenty for splits of a year, else those found. A split
    that the folder itself lists is its own, whatever its name. An image whose annotation is missing
    is bad; of a split without any, as in published test sets, all images are taken, without boxes.
    """
    years = [_YEAR_SPLIT.fullmatch(split) for split in splits]
    published = bool(splits) and all(years) and not set(splits) <= _sets(path).keys()
    if published:
        parts = [(f"VOC{match[1]}", match[2]) for match in years if match]
        items = [each for folder, words in parts for each in _year_items(path, folder, words)]
    else:
        items = _own_items(path, splits)
    items = sorted(set(items), key=lambda item: (item.name or item.image_id, item.folder))
    return _read_items(path, items, CLASSES if published else None)


def _year_items(path: str, year_folder: str, words: str) -> Iterator[_Item]:
    folder = os.path.join(path, year_folder)
    if not os.path.isdir(folder):
        raise nothing_at(path, year_folder)
    known = _sets(folder).keys()
    for split in re.findall("trainval|train|val|test", words):
        for name in sorted(_year_sets(known, split)):
            yield from _items(folder, _split_ids(folder, name))


def _year_sets(known: Set[str], split: str) -> set[str]:
    """Return the files that list the images of a year's split, of those that are known."""
    parts = _YEAR_SPLITS[split]
    return {split} if split in known and not parts <= known else parts


def _own_items(path: str, splits: Sequence[str]) -> list[_Item]:
    """Return the images of splits of one folder; without splits, all that are annotated."""
    known = _sets(path)
    if not splits and not known:
        if not (annotations := _annotations(path)):
            raise nothing_at(path, "Annotations/*.xml")
        return list(_items(path, sorted(annotations)))
    if not splits:
        raise UsageError(
            f"voc: --extension: name the splits to use, such as voc,{min(known)}: "
            f"{_sets_folder(path)} has {', '.join(sorted(known)[:10])}"
        )
    return [item for split in splits for item in _items(path, _split_ids(path, split))]


def _sets_folder(folder: str) -> str:
    return os.path.join(folder, "ImageSets", "Main")


def _sets(folder: str) -> dict[str, str]:
    """Return split -> its file."""
    return _stems(_sets_folder(folder), {".txt"})


def _annotations(folder: str) -> dict[str, str]:
    """Return image id -> its file."""
    return _stems(os.path.join(folder, "Annotations"), {".xml"})


def _split_ids(folder: str, split: str) -> list[str]:
    """Return the lines of a split."""
    sets, known = _sets_folder(folder), _sets(folder)
    if not known:
        lists = f"ImageSets/Main/{split}.txt" if os.path.isdir(sets) else "ImageSets/Main"
        raise nothing_at(folder, lists)
    if split not in known:
        raise DataError(
            f"no split {split!r}{nearest_hint(split, sorted(known))}: "
            f"{os.path.abspath(sets)} has {', '.join(sorted(known)[:10])}: "
            "name one of these, or a year's split such as 2007-trainval, or see the "
            "options in the README"
        )
    return read_lines(os.path.join(sets, known[split]))


def _items(folder: str, ids: Sequence[str]) -> Iterator[_Item]:
    images = _stems(os.path.join(folder, "JPEGImages"), set(image_suffixes()))
    annotations = _annotations(folder)
    image_ids = [line if line in images else _FLAG.sub("", line) for line in ids]
    known = any(image_id in annotations for image_id in image_ids)
    if image_ids and not known:
        log.warning("%s: no annotations of this split: its images are taken to be empty", folder)
    for image_id in image_ids:
        name = images.get(image_id, "")
        annotation = annotations.get(image_id, f"{image_id}.xml")
        yield _Item(
            folder,
            image_id,
            os.path.join(folder, "JPEGImages", name) if name else "",
            os.path.join(folder, "Annotations", annotation) if known else "",
        )


def _stems(folder: str, suffixes: set[str]) -> dict[str, str]:
    """Return file name without suffix -> file name, of a folder that need not be there."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    parts = ((os.path.splitext(name), name) for name in names)
    return {stem: name for (stem, suffix), name in parts if suffix.lower() in suffixes}


def _missing_image(item: _Item) -> str:
    """Return why there is no image for an id, where its annotation tells."""
    told = ""
    if item.annotation:
        with suppress(DataError):  # without its image nothing hangs on it
            told = os.path.basename((read_xml(item.annotation).findtext("filename") or "").strip())
    other = f"; its <filename> is {told[:80]}: give both one name" if told else ""
    return f"no JPEGImages/{item.image_id}.jpg or the like{other}"


class _Object(NamedTuple):
    class_name: str
    box: tuple[float, float, float, float]
    difficult: bool


def read_annotation(file: str) -> tuple[tuple[int, int], list[_Object]]:
    """Return (width, height), 0 if not told, and the objects of one image. Raises DataError."""
    root, objects, place = read_xml(file), [], ""
    try:
        for number, element in enumerate(root.iterfind("object"), 1):
            place = f"object {number}: "
            objects.append(_object(element))
    except ValueError as error:
        raise DataError(f"{file}: {place}{error}") from None
    return _size(root), objects


def _object(element: Element) -> _Object:
    x0, y0, x1, y1 = (number_of(element, f"bndbox/{corner}") for corner in _CORNERS)
    x1, y1 = (x1, y1) if x1 > x0 and y1 > y0 else (x0 - 1, y0 - 1)
    difficult = (element.findtext("difficult") or "0").strip() not in ("0", "")
    return _Object(text_of(element, "name"), (x0 - 1, y0 - 1, x1, y1), difficult)


def _size(root: Element) -> tuple[int, int]:
    """Return (width, height) as told, (0, 0) if that cannot be: people leave it out."""
    try:
        width, height = (int(number_of(root, f"size/{side}")) for side in ("width", "height"))
    except ValueError:
        return 0, 0
    proper = min(width, height) > 0 and max(width, height) < _LONGEST_SIDE
    return (width, height) if proper else (0, 0)


def _read_items(path: str, items: list[_Item], published: list[str] | None) -> Annotated:
    """Read the annotations of all images."""
    sizes = np.zeros((len(items), 2), np.int64)
    image, corners, class_number, difficult = array("q"), array("d"), array("q"), array("b")
    numbers: dict[str, int] = {}
    faults: dict[int, str] = {}
    for row, item in enumerate(items):
        try:
            if not item.name:
                raise DataError(_missing_image(item))
            size, objects = read_annotation(item.annotation) if item.annotation else ((0, 0), [])
        except DataError as error:
            faults[row] = str(error)
            continue
        sizes[row] = size
        for each in objects:
            image.append(row)
            corners.extend(each.box)
            class_number.append(numbers.setdefault(each.class_name, len(numbers)))
            difficult.append(each.difficult)
    labels_file, listed = read_class_labels(path)
    if listed is None:
        known, where, owner = published, path, "Pascal VOC"
        mend = f"list your classes in {labels_file}"
    else:
        known, where, owner, mend = listed, labels_file, "labels.txt", "add it to labels.txt"
    try:
        ids = class_ids(sorted(numbers), known, where, owner)
    except ForeignClassError as error:
        raise ForeignClassError(f"{error}, or {mend}") from None
    order = np.array([ids[name] for name in numbers], np.int64)
    boxes = Boxes.gather(
        len(items), image, corners, order[np.asarray(class_number, np.int64)], difficult
    )
    return Annotated(
        [item.name or os.path.join(item.folder, "JPEGImages", item.image_id) for item in items],
        [item.image_id for item in items],
        boxes,
        list(ids),
        sizes,
        faults=faults,
        published=published is not None and listed is None,
    )
