"""YOLO: a text of boxes per image, labels/ID.txt for images/ID.jpg or beside it, and data.yaml.

data.yaml names folders of images, or lists of them, as train, val and test, and the classes.
Without it the splits are folders, images/SPLIT or SPLIT/images, and classes.txt names the classes.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from denet.dataset.annotation_file import opened, read_lines, read_names
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.collected import Collected, find_photo, inside, photos_in
from denet.dataset.boxes.layouts import named_folders
from denet.dataset.boxes.splits import FOLDERS, check_splits
from denet.dataset.image.decode import image_suffixes
from denet.dataset.layout import nothing_at
from denet.dataset.walk import directories_in, files_below
from denet.errors import DataError

log = logging.getLogger(__name__)

MAX_YAML_BYTES = 1 << 18  # YAML takes a second for so many; 365 classes take ten thousand
MAX_CLASSES = 100_000
_KEYS = ("train", "val", "valid", "test")
_SUFFIXES = (".yaml", ".yml")
_NAMES = ("classes.txt", "obj.names", "_darknet.labels")
_BOX = re.compile(r"\d+( [0-9.e+-]+){4,}")
_CLASS = re.compile(r"\d{1,6}(\.0*)?", re.ASCII)
_SLACK = 0.01  # shares beside the image that rounding may have made
_ROUNDING = 1e-5  # of six decimals


class _Set(NamedTuple):
    """Where a set is, and what is told of it."""

    root: str
    sources: dict[str, list[str]]  # split, "" for one set -> folders of images, or lists of them
    classes: dict[int, str] | None  # None if nobody names them
    points: bool = False  # key points follow the four numbers of a box
    missing: Sequence[str] = ()  # what data.yaml names and is not in its folder


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``."""
    if file := _yaml_file(path):
        return f"{os.path.basename(file)} with names and splits"
    sources = _folders(path)
    places = [place for each in sources.values() for place in each]
    return "ID.txt of boxes for images" if any(_has_boxes(place, path) for place in places) else ""


def split_names(path: str) -> list[str]:
    """Return the splits of data.yaml that are there, or those that are folders."""
    return [name for name in _find(path).sources if name]


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits by name, with their boxes.

    A line is the class and centre x, centre y, width and height as shares of the image, or the
    corners x, y of an outline, whose box is taken. An image without a text shows no objects.
    """
    found = _find(path)
    check_splits(splits, [name for name in found.sources if name], path, "yolo")
    if found.missing:
        missing = ", ".join(found.missing[:4])
        log.warning("%s: data.yaml names what is not in its folder, left out: %s", path, missing)
    collected = Collected()
    used: set[int] = set()
    lists = [_images(place, found.root) for name in splits or [""] for place in found.sources[name]]
    images = list(dict.fromkeys(each for images in lists for each in images))
    folders: dict[str, str] = {}
    known = 0
    rows: list[tuple[int, int, list[float]]] = []
    for image, fault in images:
        row = collected.image(image, fault=fault)
        folder = os.path.dirname(image)
        if folder not in folders:
            folders[folder] = _label_folder(folder, found.root)
        stem = os.path.splitext(os.path.basename(image))[0]
        file = os.path.join(folders[folder], f"{stem}.txt")
        if fault or not os.path.lexists(file):
            continue
        known += 1
        try:
            for number, corners in _boxes(file, found):
                rows.append((row, number, corners))
                used.add(number)
        except DataError as error:
            collected.fault(row, str(error))
    if not images:
        raise nothing_at(path, "images that data.yaml, or images/ and labels/, tell of")
    if not known:
        log.warning("%s: no labels/*.txt: its images are taken to be empty", path)
    names = found.classes or {number: f"class {number}" for number in sorted(used)}
    for row, number, corners in rows:
        collected.box(row, names[number], corners)
    return collected.annotated(path, list(names.values()), shares=True)


def _find(path: str) -> _Set:
    """Return what there is at ``path``; DataError if it is not of this layout."""
    if file := _yaml_file(path):
        return _told(file)
    if not (sources := _folders(path)):
        raise nothing_at(path, "data.yaml, or images/ and labels/*.txt")
    return _Set(path, sources, _named_classes(path, [*sources]))


def _yaml_file(path: str) -> str:
    """Return the YAML file at ``path``, or in it, that tells of a set, "" if there is none."""
    if os.path.isfile(path):
        return path if path.lower().endswith(_SUFFIXES) and _tells(path) else ""
    try:
        names = [name for name in sorted(os.listdir(path)) if name.lower().endswith(_SUFFIXES)]
    except OSError:
        return ""
    names.sort(key=lambda name: not name.lower().startswith("data."))
    files = (os.path.join(path, name) for name in names[:8])
    return next(filter(_tells, files), "")


def _tells(file: str) -> bool:
    with suppress(DataError):
        told = _read_yaml(file)
        return ("names" in told or "nc" in told) and any(map(told.get, _KEYS))
    return os.path.basename(file).lower() == "data.yaml"  # what is wrong is told when it is read


def _read_yaml(file: str) -> dict[str, Any]:
    """Return the mapping of a YAML file with words as they stand there. Raises DataError."""
    import yaml

    class Plain(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):  # they grow without bound when expanded
                raise yaml.YAMLError("it has aliases, which are not needed")
            return super().compose_node(parent, index)

    with opened(file, MAX_YAML_BYTES) as stream:
        data = stream.read()
    try:
        told = yaml.load(data, Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())[:200]
        raise DataError(f"cannot read YAML: {file}: {what}") from None
    if not isinstance(told, dict):
        raise DataError(f"no mapping of names and splits: {file}: see docs/detection.md")
    return told


def _told(file: str) -> _Set:
    """Return what data.yaml says, its splits that are there. Raises DataError."""
    told, base = _read_yaml(file), os.path.dirname(file) or "."
    sources = {}
    missing = []
    for key in _KEYS:
        given = told.get(key) or []
        words = [given] if isinstance(given, str) else given
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataError(f"{file}: {key} is no path and no list of paths")
        places = {word: _place(base, told.get("path"), word) for word in words}
        missing += [f"{key} {word[:80]!r}" for word, place in places.items() if not place]
        if words and all(places.values()):
            sources[key] = list(places.values())
    if not sources:
        raise DataError(
            f"{file}: none of its splits is in its folder: {', '.join(missing[:4]) or 'none told'}"
            ": put it beside the images that it names"
        )
    return _Set(base, sources, _classes(told, file), "kpt_shape" in told, missing)


def _place(base: str, start: Any, told: str) -> str:
    """Return the folder or list that data.yaml names, below its own folder, "" if it is not there.

    It may start at ``path``, which may have been on another machine, and with ../, which exports
    have that mean their own folder.
    """
    stripped = re.sub(r"^(\.{1,2}/)+", "", told.replace("\\", "/"))
    starts = (start, "") if isinstance(start, str) else ("",)
    tried = (inside(base, os.path.join(at, name)) for at in starts for name in (told, stripped))
    return next((place for place in tried if place and os.path.exists(place)), "")


def _classes(told: Mapping[str, Any], file: str) -> dict[int, str]:
    """Return number -> name of the classes of data.yaml."""
    names = told.get("names")
    if names is None:
        count = told.get("nc")
        number = int(count) if isinstance(count, str) and _CLASS.fullmatch(count) else 0
        return {each: f"class {each}" for each in range(min(number, MAX_CLASSES))}
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    found: dict[int, str] = {}
    taken: set[str] = set()
    for number, name in listed.items() if isinstance(listed, dict) else ():
        proper = isinstance(name, str) and name and _CLASS.fullmatch(str(number))
        if not proper or int(number) >= MAX_CLASSES:
            raise DataError(f"{file}: names: give each class from 0 on a name of its own")
        if name in taken or int(number) in found:
            raise DataError(f"{file}: names: {name[:80]!r} comes twice: rename one")
        found[int(number)] = name
        taken.add(name)
    if not found:
        raise DataError(f"{file}: names holds no classes: list them")
    return dict(sorted(found.items()))


def _named_classes(path: str, splits: Sequence[str]) -> dict[int, str] | None:
    """Return the classes that a text beside the images names."""
    folders = [path, *(os.path.join(path, split) for split in splits)]
    folders += [os.path.join(each, name) for each in folders for name in ("labels", "Labels")]
    files = (os.path.join(folder, name) for name in _NAMES for folder in folders)
    file = next(filter(os.path.isfile, files), None) or os.path.join(path, "labels.txt")
    return dict(enumerate(read_names(file))) if os.path.isfile(file) else None


def _folders(path: str) -> dict[str, list[str]]:
    """Return split -> folder of its images, of splits that are folders, or of one set."""
    if not os.path.isdir(path):
        return {}
    for folder in named_folders(path, ("images",)):
        images = os.path.join(path, folder)
        if not named_folders(path, ("labels",)):
            break
        if photos_in(images):
            return {"": [images]}
        inner = [name for name in directories_in(images) if name.lower() in FOLDERS]
        return {name: [os.path.join(images, name)] for name in inner}
    parts = [name for name in directories_in(path) if name.lower() in FOLDERS]
    found = {name: _folders_of_split(os.path.join(path, name)) for name in parts}
    return {name: places for name, places in found.items() if places} or (
        {"": [path]} if _has_boxes(path, path) else {}
    )


def _folders_of_split(path: str) -> list[str]:
    """Return the folder of the images of SPLIT/images and SPLIT/labels, or SPLIT of both."""
    if named_folders(path, ("labels",)):
        return [os.path.join(path, name) for name in named_folders(path, ("images",))]
    return [path] if _has_boxes(path, path) else []


def _has_boxes(images: str, root: str) -> bool:
    """Say whether the first text of an image that is not empty is a list of boxes."""
    labels = _label_folder(images, root)
    texts = {os.path.splitext(name)[0] for name in _texts(labels)}
    for stem in sorted(texts & photos_in(images).keys()) if texts else ():
        with suppress(DataError):
            if lines := read_lines(os.path.join(labels, f"{stem}.txt")):
                return bool(_BOX.fullmatch(" ".join(lines[0].split())))
    return False


def _texts(folder: str) -> list[str]:
    with suppress(OSError):
        return [name for name in os.listdir(folder) if name.endswith(".txt")]
    return []


def _label_folder(images: str, root: str) -> str:
    """Return where the texts of the images in a folder are: its last images/ is labels/."""
    parts = os.path.relpath(images, root).split(os.sep)
    for place in reversed(range(len(parts))):
        if parts[place].lower() == "images":
            above = os.path.join(root, *parts[:place])
            for name in named_folders(above, ("labels",)):
                return os.path.join(above, name, *parts[place + 1 :])
    return images


def _images(place: str, root: str) -> list[tuple[str, str]]:
    """Return the images of a folder and below it, or of a list, each with its fault or ""."""
    suffixes = tuple(image_suffixes())
    if os.path.isdir(place):
        below = [file for files in files_below(place).values() for file in files]
        return [(file, "") for file in sorted(below) if file.lower().endswith(suffixes)]
    if not place.lower().endswith(".txt"):
        raise DataError(f"not a folder of images, or a .txt of them: {os.path.abspath(place)}")
    found = []
    for line in read_lines(place):
        if not line.lower().endswith(suffixes):
            raise DataError(f"{place}: {line[:80]!r} is no image: give each image a line")
        folders = ("", os.path.relpath(os.path.dirname(place) or ".", root))
        found.append(find_photo(root, folders, line))
    return found


def _boxes(file: str, found: _Set) -> list[tuple[int, list[float]]]:
    """Return class and corners, as shares of the image, of each line. Raises DataError."""
    boxes = []
    for number, line in enumerate(read_lines(file), 1):
        try:
            boxes.append(_box(line.split(), found))
        except ValueError as error:
            raise DataError(f"{file}: line {number}: {error}") from None
    return boxes


def _box(words: list[str], found: _Set) -> tuple[int, list[float]]:
    """Return class and corners of a line. Raises ValueError."""
    if not _CLASS.fullmatch(words[0]):
        raise ValueError(f"the class is {words[0][:20]!r}, not a number from 0 on")
    label = int(words[0].partition(".")[0])
    if found.classes is not None and label not in found.classes:
        raise ValueError(f"class {label} has no name: there are {len(found.classes)}")
    try:
        shares = [float(word) for word in words[1:]]
    except ValueError:
        shares = [math.nan]
    if found.points:
        shares = shares[:4]
    if not all(-_SLACK <= share <= 1 + _SLACK for share in shares):
        raise ValueError("coordinates are no shares of the image, from 0 to 1")
    if len(shares) == 4:
        x, y, width, height = shares
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    elif len(shares) >= 6 and len(shares) % 2 == 0:
        xs, ys = shares[::2], shares[1::2]
        corners = [min(xs), min(ys), max(xs), max(ys)]
    else:
        raise ValueError(
            f"{len(shares)} numbers behind the class: give four of a box, or the corners of an "
            "outline"
        )
    return label, [_snapped(corner) for corner in corners]


def _snapped(corner: float) -> float:
    """Return a corner that rounding has put beside the image on its edge."""
    edge = min(max(corner, 0.0), 1.0)
    return edge if abs(corner - edge) <= _ROUNDING else corner
