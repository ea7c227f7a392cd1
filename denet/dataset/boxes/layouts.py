"""The layouts of images with boxes: a row each here, and what reads it in a file of its name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from denet.dataset.walk import directories_in

if TYPE_CHECKING:
    from denet.dataset.boxes.annotated import Annotated

AUTO = "auto"  # --extension of whichever lies there
# --extension -> how its files lie; one that is told by a file of its own comes before those that
# are told by suffixes
LAYOUTS = {
    "yolo": "data.yaml, or images/ and labels/ with ID.txt of lines CLASS CX CY WIDTH HEIGHT, or "
    "both beside each other",
    "roboflow": "_annotations.coco.json beside the images, in train/, valid/, test/ or alone",
    "cvat": "annotations.xml of CVAT for images 1.1, and images/",
    "mscoco": "NAME/*.jpg and annotations/instances_NAME.json",
    "labelme": "ID.json of LabelMe beside ID.jpg",
    "voc": "JPEGImages/ID.jpg and Annotations/ID.xml (or images/ and annots/ or labels/, or one "
    "folder; with train/, val/, test/ around them or in both)",
    "csv": "one .csv of boxes with a header such as filename,class,xmin,ymin,xmax,ymax",
}

TOLD_WITHIN = ("csv", "labelme")  # layouts that are told by what is in a file, not by its name


class Reader(Protocol):
    """What denet/dataset/boxes/KIND.py offers."""

    def seen(self, path: str) -> str:
        """Return what at ``path`` tells that it is of this layout, "" if it is not."""
        ...

    def split_names(self, path: str) -> list[str]:
        """Return the splits that it names itself; none if it is one set."""
        ...

    def read(self, path: str, splits: Sequence[str]) -> Annotated:
        """List the images of the splits, of the whole set if it has none. Raises DataError."""
        ...


class Recognised(NamedTuple):
    """What lies somewhere, and what it was told by."""

    kind: str
    why: str


def reader(kind: str) -> Reader:
    """Return what reads a layout."""
    return cast(Reader, importlib.import_module(f"denet.dataset.boxes.{kind}"))


def recognise(path: str) -> Recognised | None:
    """Return the first layout that lies at ``path``, None if there is no known one."""
    whys = ((kind, reader(kind).seen(path)) for kind in LAYOUTS)
    return next((Recognised(kind, why) for kind, why in whys if why), None)


def fault(path: str) -> str:
    """Return what is wrong with a file at ``path`` that may tell of a layout, "" for nothing."""
    faults = (importlib.import_module(f"{__package__}.{kind}").fault(path) for kind in TOLD_WITHIN)
    return next(filter(None, faults), "")


def named_folders(path: str, names: Sequence[str]) -> list[str]:
    """Return the directories of these names in a folder, in any case of letters, in this order."""
    there = directories_in(path)
    return [found for name in names for found in there if found.lower() == name.lower()]
