"""CVAT for images 1.1: one annotations.xml of all images, which are in images/ or beside it."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.parsers import expat

from denet.dataset.annotation_file import opened
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.collected import MAX_SIDE, Collected, find_photo, inside
from denet.dataset.boxes.splits import check_splits
from denet.dataset.layout import nothing_at
from denet.errors import DataError

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 30  # of the file; a thousand boxes take 0.2 MB
MAX_TAG = 1 << 22  # bytes of one tag; an outline of a thousand corners takes 20,000
_CHUNK = 1 << 18
_HEAD = 1 << 12  # bytes in which the root is
_FILE = "annotations.xml"

Attributes = Mapping[str, str]


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``."""
    file = _file(path)
    if not os.path.isfile(file):  # reading a pipe would wait for ever
        return ""
    try:
        with open(file, "rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return ""
    return f"{os.path.basename(file)} of one <annotations>" if b"<annotations" in head else ""


def split_names(path: str) -> list[str]:
    """Return the subsets of the images where there are several; none if it is one set."""
    found: dict[str, None] = {}

    def start(tag: str, attributes: Attributes) -> None:
        if tag == "image":
            found.setdefault(attributes.get("subset", ""))

    _parse(_file(path), start, lambda tag, text: None)
    return sorted(filter(None, found)) if len(found) > 1 and all(found) else []


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits in the order of the file, with their boxes.

    Coordinates are continuous from 0. Of turned boxes, outlines, ellipses and masks the box around
    them is taken; lines and points have none and are left out. The classes are the labels of the
    file, in its order.
    """
    if not seen(path):
        raise nothing_at(path, _FILE)
    file, taker = _file(path), _Taker(os.path.dirname(_file(path)) or ".", set(splits))
    check_splits(splits, split_names(path), path, "cvat")
    _parse(file, taker.start, taker.end)
    if not len(taker.collected):
        raise DataError(f"no <image> in it: {file}: export as CVAT for images 1.1")
    if taker.passed:
        kinds = ", ".join(f"{count} {tag}" for tag, count in taker.passed.most_common(5))
        log.warning("%s: left out, no boxes: %s", file, kinds)
    return taker.collected.annotated(path, list(taker.labels) or None)


def _file(path: str) -> str:
    return os.path.join(path, _FILE) if os.path.isdir(path) else path


class _Taker:
    """Collects images and boxes from the tags of a file."""

    def __init__(self, root: str, subsets: set[str]):
        self.collected = Collected()
        self.labels: dict[str, None] = {}
        self.passed: Counter[str] = Counter()
        self._root, self._subsets = root, subsets
        self._open: list[str] = []
        self._row: int | None = None

    def start(self, tag: str, attributes: Attributes) -> None:
        self._open.append(tag)
        if tag == "image":
            self._row = self._image(attributes)
        elif self._row is not None and self._open[-2:-1] == ["image"]:
            self._shape(tag, attributes, self._row)

    def end(self, tag: str, text: str) -> None:
        if self._open[-2:] == ["label", "name"] and text:
            self.labels.setdefault(text)
        self._open.pop()
        if tag == "image":
            self._row = None

    def _image(self, attributes: Attributes) -> int | None:
        subset = attributes.get("subset", "")
        if self._subsets and subset not in self._subsets:
            return None
        name = attributes.get("name", "")
        if not name:
            raise ValueError("an <image> has no name")
        below = [os.path.join("images", subset), subset] if inside(self._root, subset) else []
        photo, fault = find_photo(self._root, ["images", "", *below], name)
        size = _side(attributes, "width"), _side(attributes, "height")
        return self.collected.image(photo, size, fault)

    def _shape(self, tag: str, attributes: Attributes, row: int) -> None:
        if tag == "tag":  # of the whole image
            return
        if tag not in _SHAPES:
            self.passed[tag] += 1
            return
        label = attributes.get("label", "").strip()
        try:
            corners = _SHAPES[tag](attributes)
            if not label:
                raise ValueError("label is missing")
        except ValueError as error:
            self.collected.fault(row, f"<{tag}>: {error}")
            return
        self.labels.setdefault(label)
        self.collected.box(row, label, corners)


def _number(attributes: Attributes, name: str) -> float:
    return _finite(attributes.get(name, ""), name)


def _finite(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e18:  # nan is not
        raise ValueError(f"{name} is {text[:20]!r}, not a number")
    return value


def _side(attributes: Attributes, name: str) -> int:
    """Return a side as it is told, 0 if that cannot be."""
    try:
        value = _number(attributes, name)
    except ValueError:
        return 0
    return int(value) if 0 < value < MAX_SIDE else 0


def _box(attributes: Attributes) -> list[float]:
    x0, y0, x1, y1 = (_number(attributes, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    turn = math.radians(_finite(attributes.get("rotation", "0"), "rotation"))
    if not turn or x1 <= x0 or y1 <= y0:  # without area no turn gives it one
        return [x0, y0, x1, y1]
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    x, y, width, height = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    return [x - half_x, y - half_y, x + half_x, y + half_y]


def _outline(attributes: Attributes) -> list[float]:
    pairs = [pair.split(",") for pair in attributes.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("points are not x,y;x,y;...")
    xs, ys = ([_finite(pair[side], "points") for pair in pairs] for side in (0, 1))
    return [min(xs), min(ys), max(xs), max(ys)]


def _ellipse(attributes: Attributes) -> list[float]:
    x, y, rx, ry = (_number(attributes, name) for name in ("cx", "cy", "rx", "ry"))
    turn = math.radians(_finite(attributes.get("rotation", "0"), "rotation"))
    half_x = math.hypot(rx * math.cos(turn), ry * math.sin(turn))
    half_y = math.hypot(rx * math.sin(turn), ry * math.cos(turn))
    return [x - half_x, y - half_y, x + half_x, y + half_y]


def _mask(attributes: Attributes) -> list[float]:
    x, y, width, height = (_number(attributes, key) for key in ("left", "top", "width", "height"))
    return [x, y, x + width, y + height]


_SHAPES: dict[str, Callable[[Attributes], list[float]]] = {
    "box": _box,
    "polygon": _outline,
    "ellipse": _ellipse,
    "mask": _mask,
}


def _parse(
    file: str, start: Callable[[str, Attributes], None], end: Callable[[str, str], None]
) -> None:
    """Give the tags of a file to ``start``, and to ``end`` with the text in them.

    Raises DataError, for a DOCTYPE too, which could define what grows without bound.
    """
    parser = expat.ParserCreate()
    parts: list[str] = []

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if tag == "track":
            raise ValueError("it is of a video: export as CVAT for images 1.1")
        parts.clear()
        start(tag, attributes)

    def finish(tag: str) -> None:
        end(tag, "".join(parts).strip())
        parts.clear()

    def take(text: str) -> None:
        if len(parts) < 1000:  # of a label; what an outline or a mask has is in its tag
            parts.append(text)

    def refuse(*_: Any) -> None:
        raise ValueError("it has a DOCTYPE, which annotations do not need")

    parser.StartElementHandler, parser.EndElementHandler = begin, finish
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = take, refuse
    fed = 0
    with opened(file, MAX_BYTES) as stream:
        try:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > MAX_TAG + _CHUNK:
                    raise ValueError(f"a tag of more than {MAX_TAG} bytes")
            parser.Parse(b"", True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise DataError(f"cannot read the annotations: {file}: {error}") from None
