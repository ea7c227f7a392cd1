"""LabelMe: ID.json of shapes beside ID.jpg, or in a folder beside that of the images."""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from denet.dataset.annotation_file import json_number, opened
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.collected import Collected, find_photo, photos_in
from denet.dataset.boxes.layouts import named_folders
from denet.dataset.boxes.splits import FOLDERS, check_splits
from denet.dataset.layout import nothing_at
from denet.dataset.walk import directories_in
from denet.errors import DataError
from denet.files import file_size

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 27  # of one file, which may hold its image as text
MAX_SHAPES = 1 << 16
_LOOKED_AT = 3  # files by which the layout is known
_TELLING = 1 << 26  # bytes of these at most
_IMAGES = ("images", "jpegimages", "imgs")
_ANNOTATIONS = ("annotations", "annots", "labels", "json", "jsons")
_BOXED = ("rectangle", "polygon", "circle", "mask", "oriented_rectangle")


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``."""
    if file := _telling(path):
        return f"{os.path.basename(file)} with imagePath and shapes"
    names = split_names(path)
    return f"ID.json with imagePath and shapes in {', '.join(names[:3])}" if names else ""


def fault(path: str) -> str:
    """Return what is wrong with the first annotation that cannot be read of those that tell."""
    folders = [name for name in directories_in(path) if name.lower() in FOLDERS]
    for folder in (path, *(os.path.join(path, name) for name in folders)):
        for file in _files(folder)[:_LOOKED_AT]:
            try:
                if file_size(file) <= _TELLING:
                    _read_json(file, _TELLING)
            except DataError as error:
                return str(error)
    return ""


def split_names(path: str) -> list[str]:
    """Return the folders that are splits; none where the annotations are in ``path`` itself."""
    if _telling(path):
        return []
    names = [name for name in directories_in(path) if name.lower() in FOLDERS]
    return [name for name in names if _telling(os.path.join(path, name))]


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits by the names of their annotations, with their boxes.

    Coordinates are continuous from 0. Of outlines, circles and masks the box around them is taken;
    lines and points have none and are left out. An image without annotation is not listed.
    """
    if not seen(path):
        raise nothing_at(path, "ID.json of LabelMe")
    check_splits(splits, split_names(path), path, "labelme")
    collected, passed = Collected(), Counter[str]()
    for split in splits or [""]:
        folder = os.path.join(path, split) if split else path
        files = _files(folder)
        places = [os.path.dirname(files[0])] if files else []
        places += [os.path.join(folder, each) for each in named_folders(folder, _IMAGES)]
        photos = _Photos(folder, places)
        for file in files:
            _read_image(collected, passed, photos, file)
    if passed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in passed.most_common(5))
        log.warning("%s: left out, no boxes: %s", path, kinds)
    return collected.annotated(path)


class _Photos:
    """The images that annotations of a folder may belong to, in some places there."""

    def __init__(self, folder: str, places: Sequence[str]):
        self._folder = folder
        self._places = [os.path.relpath(place, folder) for place in places]
        self._known = {k: v for place in reversed(places) for k, v in photos_in(place).items()}

    def of(self, file: str, content: dict[str, Any]) -> tuple[str, str]:
        """Return the image of an annotation, that of its name first, and "" or why it has none."""
        stem = os.path.splitext(os.path.basename(file))[0]
        if stem in self._known:
            return self._known[stem], ""
        told = content.get("imagePath")
        base = told.replace("\\", "/").rpartition("/")[2] if isinstance(told, str) else ""
        return find_photo(self._folder, self._places, base or f"{stem}.jpg")


def _files(folder: str) -> list[str]:
    """Return the annotations of a folder, which are in it or in the first of the usual ones."""
    inner = (os.path.join(folder, name) for name in named_folders(folder, _ANNOTATIONS))
    for place in (folder, *inner):
        with suppress(OSError):
            names = sorted(name for name in os.listdir(place) if name.lower().endswith(".json"))
            if names:
                return [os.path.join(place, name) for name in names]
    return []


def _telling(folder: str) -> str:
    """Return the first annotation of a folder if it, or the next few, is of LabelMe, or ""."""
    for file in _files(folder)[:_LOOKED_AT]:
        with suppress(DataError):
            content = _read_object(file, _TELLING)
            if "imagePath" in content and isinstance(content.get("shapes"), list):
                return file
    return ""


def _read_json(file: str, most: int) -> Any:
    """Return what is in a file. Raises DataError."""
    with opened(file, most) as stream:
        data = stream.read()
    try:
        return json.loads(data.decode("utf-8-sig"), parse_int=json_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read the annotation: {file}: {str(error)[:200]}") from None


def _read_object(file: str, most: int = MAX_BYTES) -> dict[str, Any]:
    """Return the object of a file. Raises DataError."""
    content = _read_json(file, most)
    if not isinstance(content, dict):
        raise DataError(f"no annotation of LabelMe: {file}: it is no object")
    return content


def _read_image(collected: Collected, passed: Counter[str], photos: _Photos, file: str) -> None:
    """Add the image of an annotation."""
    try:
        content = _read_object(file)
        photo, fault = photos.of(file, content)
    except DataError as error:
        collected.image(os.path.splitext(file)[0], fault=str(error))
        return
    sides = [content.get(side) for side in ("imageWidth", "imageHeight")]
    told = all(type(side) is int for side in sides)
    row = collected.image(photo, (sides[0], sides[1]) if told else (0, 0), fault)  # type: ignore[arg-type]
    shapes = content.get("shapes")
    if not isinstance(shapes, list) or len(shapes) > MAX_SHAPES:
        collected.fault(row, f"{file}: shapes is no list of at most {MAX_SHAPES}")
        return
    for number, shape in enumerate(shapes):
        try:
            kind = shape.get("shape_type", "polygon") if isinstance(shape, dict) else None
            if kind not in _BOXED:
                if not isinstance(kind, str):
                    raise ValueError("shape_type is missing")
                passed[kind[:20]] += 1
                continue
            collected.box(row, _label(shape), _corners(shape, kind))
        except ValueError as error:
            collected.fault(row, f"{file}: shapes[{number}]: {error}")
            return


def _label(shape: dict[str, Any]) -> str:
    label = shape.get("label")
    if not isinstance(label, str) or not label.strip():
        raise ValueError("label is missing")
    return label.strip()


def _corners(shape: dict[str, Any], kind: str) -> list[float]:
    """Return the box around the points of a shape. Raises ValueError."""
    points = shape.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)) or len(points) < 2:
        raise ValueError("points is no list of pairs of numbers")
    if kind == "circle":  # its centre, and a point of it
        (x, y), (u, v) = points[:2]
        radius = math.hypot(u - x, v - y)
        return [x - radius, y - radius, x + radius, y + radius]
    xs, ys = ([point[side] for point in points] for side in (0, 1))
    return [min(xs), min(ys), max(xs), max(ys)]


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(map(_is_coordinate, point))


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e18  # nan and infinite are not
