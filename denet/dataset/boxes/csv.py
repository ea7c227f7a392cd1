"""A table of boxes: one .csv with a line per box, its images beside it or in images/.

Columns are known by their names: the file, its class, and corners, or a corner with width and
height, or "bbox" of [x, y, width, height]; without a header file, x0, y0, x1, y1, class.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from denet.dataset.annotation_file import opened
from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.collected import MAX_SIDE, Collected, find_photo
from denet.dataset.boxes.splits import check_splits
from denet.dataset.image.decode import image_suffixes
from denet.dataset.layout import nothing_at
from denet.errors import DataError

MAX_BYTES = 1 << 30  # that of Open Images has 2 GB for nine million images
MAX_LINE = 1 << 17
_FOLDERS = ("", "images", "Images", "JPEGImages")
# what a column is -> names that it has, in small letters without anything else
_NAMES = {
    "file": "filename file image imagepath imagename imgname img path imageid filepath",
    "class": "class label name category classname labelname categoryname classid",
    "x0": "xmin x1 x0 left xtl roix1 bboxxmin",
    "y0": "ymin y1 y0 top ytl roiy1 bboxymin",
    "x1": "xmax x2 right xbr roix2 bboxxmax",
    "y1": "ymax y2 bottom ybr roiy2 bboxymax",
    "x": "x xmin left bboxx",
    "y": "y ymin top bboxy",
    "width": "w width bboxwidth boxwidth bboxw",
    "height": "h height bboxheight boxheight bboxh",
    "box": "bbox box",
    "split": "split set subset usage",
}
_CORNERS, _SIDES = ("x0", "y0", "x1", "y1"), ("x", "y", "width", "height")
_BARE = ("file", *_CORNERS, "class")


class _Table(NamedTuple):
    """How a file is to be read: column -> its place in a line."""

    places: dict[str, int]
    form: str  # corners | sides | box
    delimiter: str
    header: bool


class _Row(NamedTuple):
    """A line: an image, and a box of it unless it has none."""

    number: int
    file: str
    split: str
    class_name: str
    corners: tuple[float, ...]
    size: tuple[int, int]
    fault: str


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``."""
    if found := _tables(path):
        file, table = next(iter(found.items()))
        columns = ", ".join(name for name in _NAMES if name in table.places)
        return f"{os.path.basename(file)} with {columns}"
    return ""


def fault(path: str) -> str:
    """Return what is wrong with the first .csv whose beginning cannot be read."""
    for file in _files(path):
        try:
            _table(file)
        except DataError as error:
            return str(error)
    return ""


def split_names(path: str) -> list[str]:
    """Return the values of a column called split, or the names of several files."""
    tables = _tables(path)
    if not tables:
        raise _no_table(path)
    files = list(tables)
    if len(files) > 1:
        return [_stem(file) for file in files]
    table = tables[files[0]]
    if "split" not in table.places:
        return []
    found = {row.split for row in _rows(files[0], table)}
    return sorted(found) if len(found) > 1 and all(found) else []


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits in the order of their first line, with their boxes.

    Coordinates are continuous from 0, in pixels; where none is above 1 they are shares of the
    sides. A line of a file without box is an image without objects.
    """
    tables = _tables(path)
    if not tables:
        raise _no_table(path)
    check_splits(splits, split_names(path), path, "csv")
    root = path if os.path.isdir(path) else os.path.dirname(path) or "."
    collected = Collected()
    rows: dict[str, int] = {}
    largest = 0.0
    several = len(tables) > 1
    for file, table in tables.items():
        if several and _stem(file) not in splits:
            continue
        folders = [*_FOLDERS, *filter(_is_name, [_stem(file), _stem(file).split("_")[0]])]
        for row in _rows(file, table):
            if splits and not several and row.split not in splits:
                continue
            if row.file not in rows:
                photo, fault = _photo(root, folders, row.file)
                rows[row.file] = collected.image(photo, row.size, fault)
            place = rows[row.file]
            if row.fault:
                collected.fault(place, f"{file}: line {row.number}: {row.fault}")
            elif row.corners:
                largest = max(largest, *row.corners)
                collected.box(place, row.class_name, row.corners)
    if not rows:
        raise DataError(f"no lines of images: {next(iter(tables))}: check the columns")
    return collected.annotated(root, shares=largest <= 1)


def _no_table(path: str) -> DataError:
    """Return the error for a path without boxes; it tells a first line that is not known."""
    for file in _files(path):
        with suppress(DataError):
            words = next(_lines(file), "").strip()[:100]
            mend = (
                "name the columns filename,class,xmin,ymin,xmax,ymax or as docs/detection.md says"
            )
            return DataError(f"no columns of boxes: {file}: its first line is {words!r}: {mend}")
    return nothing_at(path, ".csv of boxes")


def _tables(path: str) -> dict[str, _Table]:
    """Return the files of boxes at ``path`` and how each is to be read."""
    tables: dict[str, _Table] = {}
    for file in _files(path):
        with suppress(DataError):
            if table := _table(file):
                tables[file] = table
    return tables


def _files(path: str) -> list[str]:
    """Return the .csv files at ``path``, itself or those in it."""
    files = [path]
    if os.path.isdir(path):
        try:
            files = [os.path.join(path, name) for name in sorted(os.listdir(path))]
        except OSError:
            return []
    return [file for file in files if file.lower().endswith(".csv") and os.path.isfile(file)]


def _table(file: str) -> _Table | None:
    """Return how a file is to be read, None if its first line tells of no boxes."""
    line = next(_lines(file), "")
    delimiter = max(",;\t", key=line.count)
    words = next(csv.reader([line], delimiter=delimiter), [])
    plain = [re.sub(r"[^a-z0-9]", "", word.lower()) for word in words]
    places = {
        column: min(plain.index(name) for name in names.split() if name in plain)
        for column, names in _NAMES.items()
        if set(names.split()) & set(plain)
    }
    if {"file", "class"} <= places.keys():
        forms = (("corners", _CORNERS), ("sides", _SIDES), ("box", ("box",)))
        for form, columns in forms:
            if all(column in places for column in columns):
                return _Table(places, form, delimiter, True)
    bare = len(words) == len(_BARE) and words[0].lower().endswith(tuple(image_suffixes()))
    if bare and all(_is_number(word) or not word for word in words[1:5]):
        return _Table(
            {name: place for place, name in enumerate(_BARE)}, "corners", delimiter, False
        )
    return None


def _is_number(word: str) -> bool:
    with suppress(ValueError):
        return math.isfinite(float(word))
    return False


def _is_name(word: str) -> bool:
    return word not in ("", ".", "..")


def _stem(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]


def _lines(file: str) -> Iterator[str]:
    """Yield the lines of a text. Raises DataError."""
    with (
        opened(file, MAX_BYTES) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", newline="") as text,
    ):
        try:
            while line := text.readline(MAX_LINE):
                if len(line) == MAX_LINE:
                    raise DataError(f"a line of more than {MAX_LINE} characters: {file}")
                yield line
        except UnicodeDecodeError:
            raise DataError(f"not text in UTF-8: {file}: save it as UTF-8") from None


def _rows(file: str, table: _Table) -> Iterator[_Row]:
    """Yield the lines of a table. Raises DataError for what is no table."""
    reader = csv.reader(_lines(file), delimiter=table.delimiter)
    try:
        for number, words in enumerate(reader, 1):
            if words and not (table.header and number == 1):
                yield _row(number, [word.strip() for word in words], table)
    except csv.Error as error:
        raise DataError(f"cannot read the table: {file}: {error}") from None


def _row(number: int, words: list[str], table: _Table) -> _Row:
    def word(column: str) -> str:
        place = table.places.get(column, len(words))
        return words[place] if place < len(words) else ""

    fault = ""
    corners: tuple[float, ...] = ()
    try:
        corners = _corners(word, table.form)
        if corners and not word("class"):
            raise ValueError("the class is missing")
    except ValueError as error:
        fault = str(error)
    size = (0, 0) if table.form == "sides" else (_side(word("width")), _side(word("height")))
    return _Row(number, word("file"), word("split"), word("class"), corners, size, fault)


def _corners(word: Callable[[str], str], form: str) -> tuple[float, ...]:
    """Return the corners that a line tells, () if it tells no box. Raises ValueError."""
    columns = _CORNERS if form == "corners" else _SIDES
    texts = [word(column) for column in columns]
    if form == "box":
        texts = re.split(r"[\s,]+", word("box").strip("[]() "))
    if not any(texts):
        return ()
    if len(texts) != len(columns):
        raise ValueError(f"bbox is {word('box')[:40]!r}, not [x, y, width, height]")
    values = [_value(text, column) for text, column in zip(texts, columns, strict=True)]
    x, y, u, v = values
    return (x, y, u, v) if form == "corners" else (x, y, x + u, y + v)


def _value(text: str, column: str) -> float:
    if not _is_number(text) or abs(float(text)) > 1e18:
        raise ValueError(f"{column} is {text[:20]!r}, not a number")
    return float(text)


def _side(text: str) -> int:
    return int(float(text)) if _is_number(text) and 0 < float(text) < MAX_SIDE else 0


def _photo(root: str, folders: Sequence[str], name: str) -> tuple[str, str]:
    """Return the image of a line, whose suffix may be missing, and "" or why there is none."""
    photo, fault = find_photo(root, folders, name)
    if fault and not name.lower().endswith(tuple(image_suffixes())):
        for suffix in (".jpg", ".jpeg", ".png"):
            other, missing = find_photo(root, folders, name + suffix)
            if not missing:
                return other, ""
    return photo, fault
