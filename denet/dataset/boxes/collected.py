"""What a reader of annotations finds, collected image by image."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence

import numpy as np

from denet.dataset.annotation_file import read_class_labels
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.class_names import ForeignClassError, class_ids
from denet.dataset.image.boxes import Boxes
from denet.dataset.image.decode import image_suffixes
from denet.errors import DataError

MAX_BOXES = 10_000_000  # of a set; COCO has a million
MAX_SIDE = 1 << 31


class Collected:
    """Images with their boxes, in the order in which they come."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._ids: list[str] = []
        self._sizes: list[tuple[int, int]] = []
        self._faults: dict[int, str] = {}
        self._image, self._class, self._corners = array("q"), array("q"), array("d")
        self._numbers: dict[str, int] = {}  # of class names, as they come

    def __len__(self) -> int:
        return len(self._names)

    def image(self, name: str, size: tuple[int, int] = (0, 0), fault: str = "") -> int:
        """Add an image file, or one that cannot be used; return its row."""
        self._names.append(name)
        self._ids.append(os.path.splitext(os.path.basename(name))[0])
        self._sizes.append(size if min(size) > 0 and max(size) < MAX_SIDE else (0, 0))
        if fault:
            self._faults[len(self) - 1] = fault
        return len(self) - 1

    def fault(self, row: int, text: str) -> None:
        """Tell why an image cannot be used; its first fault counts."""
        self._faults.setdefault(row, text)

    def box(self, row: int, class_name: str, corners: Sequence[float]) -> None:
        """Add a box (x0, y0, x1, y1) of an image; DataError if there are too many."""
        if len(self._image) == MAX_BOXES:
            raise DataError(f"more than {MAX_BOXES} boxes: {self._names[row]}: split the set")
        self._image.append(row)
        self._class.append(self._numbers.setdefault(class_name, len(self._numbers)))
        self._corners.extend(corners)

    def annotated(
        self, path: str, classes: Sequence[str] | None = None, shares: bool = False
    ) -> Annotated:
        """Return all of it; corners are in pixels, or ``shares`` of the sides of their image.

        Classes are those of labels.txt in ``path``, else ``classes``, else those found, sorted.
        """
        file, listed = read_class_labels(path)
        known = classes if listed is None else listed
        try:
            ids = class_ids(sorted(self._numbers), known, file if listed else path, "labels.txt")
        except ForeignClassError as error:
            raise ForeignClassError(f"{error}, or add it to labels.txt") from None
        order = np.array([ids[name] for name in self._numbers], np.int64)
        numbers = order[np.asarray(self._class, np.int64)]
        return Annotated(
            self._names,
            self._ids,
            Boxes.gather(len(self), self._image, self._corners, numbers),
            list(ids),
            np.array(self._sizes, np.int64).reshape(-1, 2),
            faults=self._faults,
            shares=shares,
        )


def inside(folder: str, name: str) -> str:
    """Return the path of what annotations name below a folder, "" if it leads out of it."""
    if not name or "\0" in name:
        return ""
    root = os.path.abspath(folder)
    place = os.path.normpath(os.path.join(root, name.replace("\\", "/")))
    if os.path.commonpath([root, place]) != root:
        return ""
    return os.path.join(folder, os.path.relpath(place, root))


def photos_in(folder: str) -> dict[str, str]:
    """Return name without suffix -> file, of the images in a folder that need not be there."""
    suffixes = image_suffixes()
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    parts = ((os.path.splitext(name), name) for name in names)
    return {
        stem: os.path.join(folder, name)
        for (stem, suffix), name in parts
        if suffix.lower() in suffixes
    }


def find_photo(root: str, folders: Sequence[str], name: str) -> tuple[str, str]:
    """Return the image that annotations name, and "" or why there is none.

    It is looked for below these folders of ``root``, at its place, and then by its name alone.
    """
    told = name.replace("\\", "/")
    base = told.rpartition("/")[2]
    tried = [
        inside(os.path.join(root, folder), each) for each in (told, base) for folder in folders
    ]
    places = [place for place in tried if place]
    found = next(filter(os.path.isfile, places), "")
    if found:
        return found, ""
    shown = name[:80]
    missing = f"no image {shown!r} there" if places else f"{shown!r} leads out of its folder"
    return places[0] if places else os.path.join(root, base or "?"), missing
