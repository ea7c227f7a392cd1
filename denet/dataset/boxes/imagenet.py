"""ImageNet: one folder per synset of .../train or .../val, beside it class_labels.txt and bbox/."""

from __future__ import annotations

import math
import os
import re
from array import array
from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from denet.dataset.annotation_file import number_of, read_lines, read_xml
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.json_lists import read_lists
from denet.dataset.class_names import class_ids
from denet.dataset.classes.directory import Listing, list_directory
from denet.dataset.image.boxes import Boxes
from denet.dataset.image.decode import image_suffixes
from denet.dataset.walk import directories_in
from denet.errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LISTED_CORNERS = ("x0", "y0", "x1", "y1")
_LABEL = re.compile(r"(-?\d{1,18})\s+(\S.*)", re.ASCII)


def read(path: str, splits: Sequence[str] = ()) -> Annotated:
    """List the images of the folders in ``path``, each folder one class, and their boxes if any.

    image_list.json in ``path``, as 2017 left it there, tells images and boxes instead. Class ids
    follow the numbers of ../class_labels.txt, lines of "number name", else the sorted names of the
    folders. The boxes of image WNID/STEM.JPEG are in ../bbox/WNID/STEM.xml, taken as they
    are, (xmin, ymin, xmax, ymax), and all of the image's class; an image need not have any. The
    files of images without boxes are not looked at, there being a million.
    """
    images_file = os.path.join(path, "image_list.json")
    told: dict[int, list[float]] = {}
    if os.path.lexists(images_file):
        listing, told = _image_list(images_file)
    else:
        listing = list_directory(path, image_suffixes())
    if not listing.files:
        raise DataError(
            f"no images: {os.path.abspath(path)}: give the folder that holds one folder per class, "
            "such as ILSVRC/train"
        )
    around = os.path.dirname(os.path.abspath(path))
    labels_file = os.path.join(around, "class_labels.txt")
    names = (
        _class_labels(labels_file, set(listing.classes)) if os.path.isfile(labels_file) else None
    )
    ids = class_ids(listing.classes, names, path, "class_labels.txt")
    labels = np.array([ids[name] for name in listing.file_classes], np.int32)
    boxes_folder = os.path.join(around, "bbox")
    has_boxes = os.path.isdir(boxes_folder)
    image, corners = array("q"), array("d")
    faults: dict[int, str] = {}
    for row, name in enumerate(listing.files if told or has_boxes else ()):
        stem = os.path.splitext(os.path.relpath(name, path))[0]
        file = os.path.join(boxes_folder, stem + ".xml")
        if row not in told and not os.path.lexists(file):  # a link that leads nowhere is a fault
            continue
        try:
            found = told[row] if row in told else _corners(file)
        except DataError as error:
            faults[row] = str(error)
            continue
        image.extend([row] * (len(found) // 4))
        corners.extend(found)
    return Annotated(
        listing.files,
        [os.path.splitext(os.path.basename(name))[0] for name in listing.files],
        Boxes.gather(len(labels), image, corners, labels[np.asarray(image, np.int64)]),
        list(ids),
        np.zeros((len(labels), 2), np.int64),
        labels=labels,
        faults=faults,
        measured=False,
        published=True,
    )


def _image_list(file: str) -> tuple[Listing, dict[int, list[float]]]:
    """Return the images that the list of 2017 names, and the corners of those with boxes told.

    {"version": 1, "images": [{"fname": ..., "bboxs": [{"x0": ..., "x1", "y0", "y1"}, ...]}, ...]};
    before version 1 the images are names alone. Of a name folder and file count, which lie beside
    the list; what comes before them is where the set was when the list was made.
    """
    folder = os.path.dirname(file)
    listing, told = Listing(directories_in(folder)), {}
    known = set(listing.classes)

    def take(row: int, entry: Any) -> None:
        name = entry.get("fname") if isinstance(entry, dict) else entry
        class_name, base = _place(name, known, f"images[{row}]")
        listing.files.append(os.path.join(folder, class_name, base))
        listing.file_classes.append(class_name)
        if isinstance(entry, dict):
            told[row] = _listed_corners(entry.get("bboxs", []), f"images[{row}]")

    mend = "mend it, or remove it and all images of the folders are taken"
    try:
        found = read_lists(file, {"images": take})
    except DataError as error:
        raise DataError(f"{error}: {mend}") from None
    if not found:
        raise DataError(f"{file}: it holds no images: {mend}")
    return listing, told


def _place(name: Any, folders: set[str], where: str) -> tuple[str, str]:
    """Return folder and file of an image. Raises ValueError."""
    parts = name.replace("\\", "/").split("/")[-2:] if isinstance(name, str) else []
    if len(parts) < 2 or parts[0] not in folders:
        raise ValueError(f"{where} is not in one of the folders beside the list")
    if parts[1] in ("", ".", "..") or "\0" in parts[1]:
        raise ValueError(f"{where} is no file")
    return parts[0], parts[1]


def _listed_corners(boxes: Any, where: str) -> list[float]:
    """Return the corners of all boxes, one after the other. Raises ValueError."""
    corners: list[float] = []
    for box in boxes if isinstance(boxes, list) else [None]:
        own: list[Any] = [
            box.get(corner) if isinstance(box, dict) else None for corner in _LISTED_CORNERS
        ]
        if not all(map(_is_coordinate, own)):
            raise ValueError(f"{where}.bboxs is not a list of boxes with x0, x1, y0, y1")
        corners += own
    return corners


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e18 and math.isfinite(value)


def _corners(file: str) -> list[float]:
    """Return the corners of all boxes of an annotation, one after the other."""
    corners: list[float] = []
    for number, element in enumerate(read_xml(file).iterfind("object"), 1):
        try:
            corners += [number_of(element, f"bndbox/{corner}") for corner in _CORNERS]
        except ValueError as error:
            raise DataError(f"{file}: object {number}: {error}") from None
    return corners


def _class_labels(file: str, folders: Set[str]) -> list[str]:
    """Return the names of "number name" lines in the order of their numbers, whatever these are.

    The name is the second word, and what follows a description ("0 n01440764 tench"), unless
    there is a folder of the whole.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    for line_number, line in enumerate(read_lines(file), 1):
        match = _LABEL.fullmatch(line)
        number, name = (int(match[1]), match[2]) if match else (0, "")
        name = name if name in folders else name.partition(" ")[0]
        if not name or name in taken or number in names:
            raise DataError(f"{file}: line {line_number}: give a number and a name of its own")
        names[number] = name
        taken.add(name)
    return [names[number] for number in sorted(names)]
