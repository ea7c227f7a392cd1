"""Pascal VOC: ImageSets/Main/SPLIT.txt, JPEGImages/ID.jpg, Annotations/ID.xml.

Below VOCdevkit there is one such folder per year, and splits are called 2007-trainval or
2012-train; data of one's own are a single folder, with splits such as train and val. They lie as
people have them, too: photos in images/, XML in annots/ or labels/, or both beside each other, and
splits that are folders, SPLIT/images or images/SPLIT, with those to train on in a folder of their
own or beside the others.
"""

from __future__ import annotations

import logging
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from denet.dataset.annotation_file import (
    number_of,
    read_class_labels,
    read_lines,
    read_xml,
    text_of,
)
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.layouts import named_folders
from denet.dataset.class_names import ForeignClassError, class_ids
from denet.dataset.image.boxes import Boxes
from denet.dataset.image.decode import image_suffixes
from denet.dataset.layout import nothing_at
from denet.dataset.walk import directories_in
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
# folders of photos and of annotations, in any case of letters; the published name first
_PHOTOS = ("JPEGImages", "images")
_ANNOTATIONS = ("Annotations", "annots", "labels")
_TRAIN_FOLDERS = {"train", "training"}
_SPLIT_FOLDERS = {*_TRAIN_FOLDERS, "val", "valid", "validation", "test", "testing"}
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Item(NamedTuple):
    """An image of a split; ``photo`` and ``annotation`` are files, "" if there is none."""

    folder: str  # where the photo is or should be
    image_id: str
    photo: str
    annotation: str


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``, or in a folder of a year."""
    folders = (Path(path), *Path(path).glob("VOC[0-9][0-9][0-9][0-9]"))
    if found := next((str(folder) for folder in folders if _is_annotated(str(folder))), ""):
        photos, annotations = _part(found, _PHOTOS)[0], _part(found, _ANNOTATIONS)[0]
        places = (os.path.relpath(place, path) for place in (annotations, photos))
        return "ID.xml in {} for images in {}".format(*places)
    folders_of_splits = ", ".join(_split_folders(path))
    return folders_of_splits and f"ID.xml for images in {folders_of_splits}"


def split_names(path: str) -> list[str]:
    """Return the splits that are at ``path``, as ``--extension`` names them."""
    if own := _sets(path):
        return sorted(own)
    if split_folders := _split_folders(path):
        return list(split_folders)
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
    An image belongs to the annotation of its name; where there is none of that name, to the one
    that tells its name and has no other.
    """
    years = [_YEAR_SPLIT.fullmatch(split) for split in splits]
    published = bool(splits) and all(years) and not set(splits) <= _sets(path).keys()
    if published:
        parts = [(f"VOC{match[1]}", match[2]) for match in years if match]
        items = [each for folder, words in parts for each in _year_items(path, folder, words)]
    else:
        items = _own_items(path, splits)
    items = sorted(set(items), key=lambda item: (_photo_file(item), item.folder))
    return _read_items(path, items, CLASSES if published else None)


def _year_items(path: str, year_folder: str, words: str) -> Iterator[_Item]:
    folder = os.path.join(path, year_folder)
    if not os.path.isdir(folder):
        raise nothing_at(path, year_folder)
    known = _sets(folder).keys()
    for split in re.findall("trainval|train|val|test", words):
        for name in sorted(_year_sets(known, split)):
            yield from _listed_items(folder, name)


def _year_sets(known: Set[str], split: str) -> set[str]:
    """Return the files that list the images of a year's split, of those that are known."""
    parts = _YEAR_SPLITS[split]
    return {split} if split in known and not parts <= known else parts


def _own_items(path: str, splits: Sequence[str]) -> list[_Item]:
    """Return the images of splits of one folder; without splits, all that are annotated."""
    known, folders = _sets(path), _split_folders(path)
    if not splits and not known and not folders:
        return list(_annotated_items(path))
    if not splits:
        place = _sets_folder(path) if known else os.path.abspath(path)
        names = sorted(known) or list(folders)
        raise UsageError(
            f"voc: --extension: name the splits to use, such as voc,{names[0]}: "
            f"{place} has {', '.join(names[:10])}"
        )
    if folders:
        for split in splits:
            _check_split(split, list(folders), os.path.abspath(path))
        parts = [list(_annotated_items(path, folders[split])) for split in splits]
    else:
        parts = [_listed_items(path, split) for split in splits]
    return [item for part in parts for item in part]


def _check_split(split: str, known: Sequence[str], place: str) -> None:
    """Raise DataError unless there is a split of this name among those of a place."""
    if split not in known:
        raise DataError(
            f"no split {split!r}{nearest_hint(split, [*known])}: {place} has "
            f"{', '.join(known[:10])}: name one of these, or see docs/detection.md"
        )


def _annotated_items(folder: str, split: str = "") -> Iterator[_Item]:
    """Return all images of a folder, or of a split that is a folder there, that are annotated."""
    _, annotations = _part(folder, _ANNOTATIONS, split)
    if not annotations:
        raise nothing_at(folder, "Annotations/*.xml")
    return _items(folder, sorted(annotations), split)


def _split_folders(path: str) -> dict[str, str]:
    """Return split -> name of its folders of those that have some, where no file lists splits.

    Where none of them is to train on, what is annotated beside them is, by the name "".
    """
    if _sets(path):
        return {}
    places = [path, *(os.path.join(path, name) for name in named_folders(path, _PHOTOS))]
    names = sorted({name for place in places for name in directories_in(place)})
    folders = {
        name: name for name in names if name.lower() in _SPLIT_FOLDERS and _is_annotated(path, name)
    }
    alone = folders and not any(name.lower() in _TRAIN_FOLDERS for name in folders)
    return {"train": "", **folders} if alone and _is_annotated(path) else folders


def photo_folder(path: str) -> str:
    """Return where photos are that belong to no split that is a folder."""
    return _part(path, _PHOTOS)[0]


def _is_annotated(folder: str, split: str = "") -> bool:
    """Say whether there are photos and annotations in a folder, as pairs if beside each other."""
    place, photos = _part(folder, _PHOTOS, split)
    marks, annotations = _part(folder, _ANNOTATIONS, split)
    return bool(photos.keys() & annotations.keys() if place == marks else photos and annotations)


def _part(folder: str, usual: tuple[str, ...], split: str = "") -> tuple[str, dict[str, str]]:
    """Return where the photos or annotations of a folder or split are, and their files by image id.

    That is the first of the usual places in any case of letters, or else the folder itself; where
    none holds any, the published place.
    """
    suffixes = {".xml"} if usual is _ANNOTATIONS else set(image_suffixes())
    own = os.path.join(folder, split) if split else folder
    inner = [os.path.join(own, name) for name in named_folders(own, usual)]
    outer = [os.path.join(folder, name, split) for name in named_folders(folder, usual) if split]
    for place in (*inner, *outer, own):
        if files := _stems(place, suffixes):
            return place, files
    return (inner or [os.path.join(own, usual[0])])[0], {}


def _sets_folder(folder: str) -> str:
    return os.path.join(folder, "ImageSets", "Main")


def _sets(folder: str) -> dict[str, str]:
    """Return split -> its file."""
    return _stems(_sets_folder(folder), {".txt"})


def _listed_items(folder: str, split: str) -> list[_Item]:
    """Return the images of a split that a file lists."""
    sets, known = _sets_folder(folder), _sets(folder)
    if not known:
        lists = f"ImageSets/Main/{split}.txt" if os.path.isdir(sets) else "ImageSets/Main"
        raise nothing_at(folder, lists)
    _check_split(split, sorted(known), os.path.abspath(sets))
    items = list(_items(folder, read_lines(os.path.join(sets, known[split]))))
    if items and not any(item.annotation for item in items):
        log.warning(
            "%s: no annotations of split %s: its images are taken to be empty", folder, split
        )
    return items


def _items(folder: str, ids: Sequence[str], split: str = "") -> Iterator[_Item]:
    place, photos = _part(folder, _PHOTOS, split)
    marks, annotations = _part(folder, _ANNOTATIONS, split)
    if not os.path.isdir(place):
        raise nothing_at(folder, "JPEGImages or images with the photos")
    image_ids = [line if line in photos else _FLAG.sub("", line) for line in ids]
    known = any(image_id in annotations for image_id in image_ids)
    for image_id in image_ids:
        file = os.path.join(marks, annotations.get(image_id, f"{image_id}.xml")) if known else ""
        photo = photos.get(image_id) or _told_photo(file, photos, annotations)
        yield _Item(place, image_id, os.path.join(place, photo) if photo else "", file)


def _told_photo(file: str, photos: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Return the photo that an annotation names, if it is one of these and no other's, or ""."""
    told = ""
    with suppress(DataError):  # told where the annotation is read
        told = _told_name(read_xml(file)) if file else ""
    return "" if _stem(told) in annotations else photos.get(_stem(told), "")


def _told_name(root: Element) -> str:
    """Return the name of the photo in its annotation, without the folders before it, or ""."""
    return (root.findtext("filename") or "").replace("\\", "/").rpartition("/")[2].strip()


def _stems(folder: str, suffixes: set[str]) -> dict[str, str]:
    """Return file name without suffix -> file name, of a folder that need not be there."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    parts = ((os.path.splitext(name), name) for name in names)
    return {stem: name for (stem, suffix), name in parts if suffix.lower() in suffixes}


def _stem(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]


def _photo_file(item: _Item) -> str:
    """Return the photo of an item, or where it should be, which is its place in the set."""
    return item.photo or os.path.join(item.folder, f"{item.image_id}.jpg")


def _missing_image(item: _Item) -> str:
    """Return why there is no image for an id, where its annotation tells."""
    told = ""
    if item.annotation:
        with suppress(DataError):  # without its image nothing hangs on it
            told = _told_name(read_xml(item.annotation))
    other = f"; its <filename> is {told[:80]}: give both one name" if told else ""
    return f"no {os.path.basename(item.folder)}/{item.image_id}.jpg or the like{other}"


class _Object(NamedTuple):
    class_name: str
    box: tuple[float, float, float, float]
    difficult: bool


class Annotation(NamedTuple):
    """What is told of one image: (width, height), 0 if not told, its objects, and its name."""

    size: tuple[int, int]
    objects: list[_Object]
    photo: str = ""


def read_annotation(file: str) -> Annotation:
    """Return what an annotation tells of its image. Raises DataError."""
    root, objects, place = read_xml(file), [], ""
    try:
        for number, element in enumerate(root.iterfind("object"), 1):
            place = f"object {number}: "
            objects.append(_object(element))
    except ValueError as error:
        raise DataError(f"{file}: {place}{error}") from None
    return Annotation(_size(root), objects, _told_name(root))


def _object(element: Element) -> _Object:
    x0, y0, x1, y1 = (number_of(element, f"bndbox/{corner}") for corner in _CORNERS)
    x1, y1 = (end if end > begin else min(end, begin - 1) for begin, end in ((x0, x1), (y0, y1)))
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
    renamed: list[str] = []
    for row, item in enumerate(items):
        try:
            if not item.photo:
                raise DataError(_missing_image(item))
            told = read_annotation(item.annotation) if item.annotation else Annotation((0, 0), [])
        except DataError as error:
            faults[row] = str(error)
            continue
        sizes[row] = told.size
        if told.photo and _stem(told.photo) != _stem(item.photo):
            renamed.append(f"{item.annotation} (its <filename> is {told.photo[:80]})")
        for each in told.objects:
            image.append(row)
            corners.extend(each.box)
            class_number.append(numbers.setdefault(each.class_name, len(numbers)))
            difficult.append(each.difficult)
    if renamed:
        log.warning(
            "%s: %d annotations name another photo: the photo called as the annotation counts: %s",
            *(path, len(renamed), renamed[0]),
        )
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
        [item.photo or os.path.join(item.folder, item.image_id) for item in items],
        [item.image_id for item in items],
        boxes,
        list(ids),
        sizes,
        faults=faults,
        published=published is not None and listed is None,
    )
