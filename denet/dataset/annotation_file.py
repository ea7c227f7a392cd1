"""Annotation files of strangers: bounded, without entities, errors name file and field."""

from __future__ import annotations

import json
import math
import os
import stat
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from typing import Any

from denet.dataset.base import printable
from denet.errors import DataError, OutOfMemoryError
from denet.memory import available_bytes, bytes_text

MAX_XML_BYTES = 1 << 24  # of one image; real ones have a few thousand
MAX_JSON_BYTES = 1 << 30  # that of COCO 2017 has 0.45 GB
MAX_JSON_PARTS = 1 << 25  # objects and lists; that of COCO 2017 has some 4 million
# bytes of memory while it is read: for each of the file, and for each object or list
_JSON_EXPANSION, _JSON_PART_BYTES = 4, 240
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Refuse what could define entities, which grow without bound when they are expanded."""
        raise ValueError("it has a DOCTYPE, which annotations do not need")


def read_bytes(file: str, most: int) -> bytes:
    """Return what is in a file of at most so many bytes. Raises DataError."""
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise DataError(f"not a file: {printable(file)}")
        if status.st_size > most:
            raise DataError(
                f"{status.st_size / 1e6:.0f} MB are too many for annotations: {printable(file)}"
            )
        with open(file, "rb", buffering=0) as stream:
            return stream.read()
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise DataError(f"{what}: {printable(os.path.abspath(file))}") from None


def read_lines(file: str) -> list[str]:
    """Return the lines of a UTF-8 text without blanks around them, empty ones left out."""
    try:
        text = read_bytes(file, MAX_XML_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"not text in UTF-8: {printable(file)}: save it as UTF-8") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_class_labels(folder: str) -> tuple[str, list[str] | None]:
    """Return labels.txt of a folder and the classes in it, one per line; None if there is none."""
    file = os.path.join(folder, "labels.txt")
    if not os.path.isfile(file):
        return file, None
    names = read_lines(file)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"class {twice[0]!r} twice: {printable(file)}: give each class one line")
    return file, names


def read_xml(file: str) -> ElementTree.Element:
    """Return the root element of an XML file. Raises DataError."""
    data = read_bytes(file, MAX_XML_BYTES)
    parser = ElementTree.XMLParser(target=_Builder())
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"cannot read the annotation: {printable(file)}: {error}") from None
    return root


def text_of(element: ElementTree.Element, field: str) -> str:
    """Return the text of the element at a path such as bndbox/xmin. Raises ValueError."""
    text = (element.findtext(field) or "").strip()
    if not text:
        raise ValueError(f"{field} is missing")
    return text


def number_of(element: ElementTree.Element, field: str) -> float:
    """Return the finite number at a path. Raises ValueError."""
    text = text_of(element, field)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{field} is {text[:20]!r}, not a number")
    return value


def read_json(file: str, convert: Callable[[dict[str, Any]], Any]) -> Any:
    """Return what a JSON file holds, each object as ``convert`` gives it. Raises DataError.

    Objects are converted as soon as they are complete, so memory does not hold all of them.
    """
    data = read_bytes(file, MAX_JSON_BYTES).removeprefix(_BYTE_ORDER_MARK)
    parts = data.count(b"[") + data.count(b"{")
    if parts > MAX_JSON_PARTS:
        raise DataError(f"too many lists and objects for annotations: {printable(file)}")
    available = available_bytes()
    needed = max(_JSON_EXPANSION * len(data), _JSON_PART_BYTES * parts)
    if available is not None and needed > available:
        raise OutOfMemoryError(
            f"annotations of {bytes_text(len(data))} may not fit into memory: {printable(file)}: "
            "split them, or use another machine"
        )
    try:
        text = str(data, "utf-8")
        del data
        return json.loads(text, object_hook=convert)
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read the annotations: {printable(file)}: {error}") from None
