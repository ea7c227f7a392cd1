"""Annotation files of strangers: bounded, without entities, errors name file and field."""

from __future__ import annotations

import io
import math
import os
import stat
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from denet.errors import DataError
from denet.kind import whole_number
from denet.memory import room

MAX_LIST_BYTES = 1 << 27  # of a list of images or classes
MAX_LIST_LINES = 2_000_000  # all of ImageNet are 1.3 million
MAX_XML_BYTES = 1 << 22  # of one image; real ones have a few thousand
MAX_XML_TAGS = 1 << 18  # an element has one or two; as many as 10,000 objects need
MAX_DIGITS = 1000  # of a whole number; an id has 39 at most
_LINE_BYTES = 500  # of memory for a line and what becomes of it


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Refuse what could define entities, which grow without bound when they are expanded."""
        raise ValueError("it has a DOCTYPE, which annotations do not need")


@contextmanager
def opened(file: str, most: int) -> Iterator[BinaryIO]:
    """Open a file of at most so many bytes. Raises DataError, also if reading it fails."""
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise DataError(f"not a file: {file}")
        if status.st_size > most:
            raise DataError(f"{status.st_size / 1e6:.0f} MB are too many: {file}")
        with open(file, "rb") as stream:
            yield stream
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise DataError(f"{what}: {os.path.abspath(file)}") from None


def json_number(digits: str) -> int:
    """Return a whole number of JSON. Raises ValueError for one of more than MAX_DIGITS."""
    return whole_number(digits, MAX_DIGITS)


def read_lines(file: str) -> list[str]:
    """Return the lines of a UTF-8 text without blanks around them, empty ones left out.

    Raises DataError, for more than MAX_LIST_LINES lines too, and OutOfMemoryError.
    """
    with opened(file, MAX_LIST_BYTES) as stream:
        return lines_of(stream, os.fstat(stream.fileno()).st_size, file)


def lines_of(stream: BinaryIO, size: int, name: str) -> list[str]:
    """Return what ``read_lines`` does, of a stream of so many bytes; ``name`` is for errors."""
    lines = []
    with (
        io.TextIOWrapper(stream, "utf-8-sig") as text,
        room(_LINE_BYTES * min(size // 2, MAX_LIST_LINES), f"list: {name}", "split it"),
    ):
        try:
            for number, line in enumerate(text):
                if number == MAX_LIST_LINES:
                    raise DataError(f"more than {MAX_LIST_LINES} lines: {name}: split it")
                if stripped := line.strip():
                    lines.append(stripped)
        except UnicodeDecodeError:
            raise DataError(f"not text in UTF-8: {name}: save it as UTF-8") from None
    return lines


def read_names(file: str) -> list[str]:
    """Return the classes that a text names, one per line. Raises DataError, for two alike too."""
    names = read_lines(file)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"class {twice[0]!r} twice: {file}: give each class one line")
    return names


def read_class_labels(folder: str) -> tuple[str, list[str] | None]:
    """Return labels.txt of a folder and the classes in it, one per line; None if there is none."""
    file = os.path.join(folder, "labels.txt")
    if not os.path.isfile(file):
        return file, None
    return file, read_names(file)


def read_xml(file: str) -> ElementTree.Element:
    """Return the root element of an XML file. Raises DataError."""
    with opened(file, MAX_XML_BYTES) as stream:
        data = stream.read()
    if data.count(b"<") > MAX_XML_TAGS:
        raise DataError(f"more than {MAX_XML_TAGS} tags for one image: {file}")
    parser = ElementTree.XMLParser(target=_Builder())
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"cannot read the annotation: {file}: {error}") from None
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
