"""How images may lie in directories, and what to do with one that lies otherwise."""

from __future__ import annotations

import importlib
import os
from collections import Counter

from denet.dataset.boxes.collected import photos_in
from denet.dataset.boxes.layouts import LAYOUTS, fault, reader, recognise
from denet.dataset.boxes.splits import role
from denet.dataset.class_names import names_text
from denet.dataset.walk import directories_in
from denet.errors import DataError
from denet.printable import word

# folders of images with boxes; no class is called so
_PARTS = ("images", "jpegimages", "labels", "annotations", "annots", "imagesets")
# --extension -> where its images and their boxes or classes are
_CLASSES = "CLASS/*.jpg"
_PACKED = ("cifar", "svhn")  # many images in a file
_SHOWN_FOLDERS = 5
_FEW_FOLDERS = 5  # of which one may be what somebody has downloaded; more are classes


def check_classes(path: str) -> None:
    """Raise DataError where the directories in ``path`` are not classes but parts of another set.

    Images with boxes lie in images/ and annotations/ or the like.
    """
    names = directories_in(path)
    parts = [name for name in names if name.lower() in _PARTS]
    if not parts:
        if sets_in(path):
            raise DataError(f"no class directories: {os.path.abspath(path)}: {fitting(path)}")
        return
    inner = [os.path.join(path, name) for name in parts if _holds_classes(os.path.join(path, name))]
    mend = f"give {inner[0]} if its directories are classes, else " if inner else ""
    raise DataError(
        f"{' and '.join(parts)} cannot be classes: {_contents(path, names)}: "
        f"{fitting(path) or mend + _all_layouts()}"
    )


def nothing_at(path: str, lacking: str) -> DataError:
    """Return the error for a path without ``lacking``; it tells what can be read there instead."""
    place = os.path.abspath(path)
    if not os.path.isdir(path):
        what = "not a directory" if os.path.exists(path) else "no such directory"
        return DataError(f"{what}: {place}")
    if mend := fitting(path):
        return DataError(f"no {lacking} in {place}: {mend}")
    mend = _as_classes(path) or _all_layouts()
    return DataError(f"no {lacking} in {_contents(path, directories_in(path))}: {mend}")


def fitting(path: str) -> str:
    """Return how to read what there is at ``path``, annotated or packed images, or what is damaged.

    That is "" where nothing is known.
    """
    for kind in _PACKED:
        if known := importlib.import_module(f"denet.dataset.classes.{kind}").splits_at(path):
            return f"give --extension {kind},NAME with NAME one of {', '.join(known)}"
    if seen := recognise(path):
        line = f"model-info --data {word(path)} prints a whole line"
        if names := reader(seen.kind).split_names(path):
            known = ", ".join(names[:10])
            return f"give --extension {seen.kind},NAME with NAME one of {known}; {line}"
        return (
            f"give this directory with --extension {seen.kind} to take all annotated images; {line}"
        )
    if told := unknown_table(path):
        return told
    if inner := wrapped(path):
        return f"give {inner}, which holds images with boxes"
    if sets := sets_in(path):
        return (
            f"it holds {len(sets)} sets of images with boxes, {names_text(sets)}: give one of "
            f"them, such as {os.path.join(path, sets[0])}"
        )
    return fault(path)


def unknown_table(path: str) -> str:
    """Return what is wrong with the columns of a .csv of boxes at ``path``, "" if there is none."""
    told: str = importlib.import_module("denet.dataset.boxes.csv").unknown(path)
    return told


def wrapped(path: str) -> str:
    """Return the only one of a few directories in ``path`` with annotated images, "" if none is."""
    names = directories_in(path)
    places = [os.path.join(path, name) for name in names if len(names) <= _FEW_FOLDERS]
    found = [place for place in places if recognise(place)]
    return found[0] if len(found) == 1 else ""


def sets_in(path: str) -> list[str]:
    """Return the directories in ``path`` that are sets of images with boxes; one is none.

    Their photos and annotations lie in folders: images of classes may have boxes beside them.
    """
    names = directories_in(path)

    def is_set(name: str) -> bool:
        place = os.path.join(path, name)
        parts = any(each.lower() in _PARTS for each in directories_in(place))
        return parts and recognise(place) is not None

    if not any(map(is_set, names[:_SHOWN_FOLDERS])):
        return []  # a thousand classes of a thousand images are not gone through for it
    sets = [name for name in names if is_set(name)]
    return sets if len(sets) > 1 else []


def _as_classes(path: str) -> str:
    """Return how to read directories of images as classes, or those of a split; "" if none are."""
    names = directories_in(path)
    train = next((name for name in names if role(name).startswith("train")), "")
    for place in filter(None, (train and os.path.join(path, train), path)):
        found = directories_in(place)
        parts = any(name.lower() in _PARTS or role(name) for name in found)
        photos = [photos_in(os.path.join(place, name)) for name in found[:_SHOWN_FOLDERS]]
        if found and not parts and all(photos):
            return (
                f"if {names_text(found)} are classes, give {place} with --extension image "
                f"(model-info --data {word(path)} prints a whole line), else {_all_layouts()}"
            )
    return ""


def _all_layouts() -> str:
    known = ", ".join(f"{kind} {layout}" for kind, layout in LAYOUTS.items())
    return f"give the directory that holds it, of what --extension reads: {known}, image {_CLASSES}"


def _holds_classes(path: str) -> bool:
    return any(name.lower() not in _PARTS for name in directories_in(path))


def _contents(path: str, names: list[str]) -> str:
    """Return a directory and what lies in the first folders there."""
    shown = []
    for name in names[:_SHOWN_FOLDERS]:
        common = _suffixes(os.path.join(path, name)).most_common(2)
        files = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in common)
        shown.append(f"{name} ({files})" if files else name)
    more = ", ..." if len(names) > _SHOWN_FOLDERS else ""
    found = f" (it holds {', '.join(shown)}{more})" if shown else ""
    return os.path.abspath(path) + found


def _suffixes(path: str) -> Counter[str]:
    """Return how many names in a directory have which suffix, in lower case."""
    try:
        return Counter(os.path.splitext(name)[1].lower() for name in os.listdir(path))
    except OSError:
        return Counter()
