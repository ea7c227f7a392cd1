"""ImageNet: one folder per synset of .../train or .../val, beside it class_labels.txt and bbox/."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence

import numpy as np

from denet.dataset.annotated import Annotated
from denet.dataset.annotation_file import number_of, read_lines, read_xml
from denet.dataset.base import class_ids, printable
from denet.dataset.boxes import Boxes
from denet.dataset.decode import image_suffixes
from denet.dataset.directory import list_directory
from denet.errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(path: str, splits: Sequence[str] = ()) -> Annotated:
    """List the images of the folders in ``path``, each folder one class, and their boxes if any.

    Class ids are those of ../class_labels.txt, lines of "index name", else follow the sorted names
    of the folders. The boxes of image WNID/STEM.JPEG are in ../bbox/WNID/STEM.xml, taken as they
    are, (xmin, ymin, xmax, ymax), and all of the image's class; an image need not have any. The
    files of images without boxes are not looked at, there being a million.
    """
    listing = list_directory(path, image_suffixes())
    if not listing.files:
        raise DataError(
            f"no images: {os.path.abspath(path)}: give the folder that holds one folder per class, "
            "such as ILSVRC/train"
        )
    around = os.path.dirname(os.path.abspath(path))
    labels_file = os.path.join(around, "class_labels.txt")
    listed = _class_labels(labels_file) if os.path.isfile(labels_file) else None
    ids = class_ids(listing.classes, listed, path, "class_labels.txt")
    labels = np.array([ids[name] for name in listing.file_classes], np.int32)
    boxes_folder = os.path.join(around, "bbox")
    image, corners = array("q"), array("d")
    faults: dict[int, str] = {}
    if os.path.isdir(boxes_folder):
        for row, name in enumerate(listing.files):
            stem = os.path.splitext(os.path.relpath(name, path))[0]
            file = os.path.join(boxes_folder, stem + ".xml")
            if not os.path.lexists(file):  # a link that leads nowhere is a fault
                continue
            try:
                found = _corners(file)
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


def _corners(file: str) -> list[float]:
    """Return the corners of all boxes of an annotation, one after the other."""
    corners: list[float] = []
    for number, element in enumerate(read_xml(file).iterfind("object"), 1):
        try:
            corners += [number_of(element, f"bndbox/{corner}") for corner in _CORNERS]
        except ValueError as error:
            raise DataError(f"{printable(file)}: object {number}: {error}") from None
    return corners


def _class_labels(file: str) -> list[str]:
    """Return the names of "index name" lines in the order of their indices 0, 1, 2, ..."""
    names: dict[int, str] = {}
    for number, line in enumerate(read_lines(file), 1):
        index, _, name = line.partition(" ")
        if not (index.isdecimal() and name.strip()) or int(index) in names:
            raise DataError(
                f"{printable(file)}: line {number}: give an index of its own and a name"
            )
        names[int(index)] = name.strip()
    if sorted(names) != list(range(len(names))):
        raise DataError(f"{printable(file)}: the indices are not 0 to {len(names) - 1}")
    return [names[index] for index in range(len(names))]
