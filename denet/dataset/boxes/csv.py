"""A table of boxes: one .csv with a line per box, its images beside it or in images/.

Columns are known by their names: the file, its class, and corners, or a corner with width and
height, or "bbox" of [x, y, width, height], or a shape of VIA; see COLUMNS. Where none tells the
class all boxes are of one. Without a header they are known by what is in them.
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
from denet.dataset.boxes.via import via_class, via_corners
from denet.dataset.image.decode import image_suffixes
from denet.dataset.layout import nothing_at
from denet.errors import DataError

MAX_BYTES = 1 << 30  # that of Open Images has 2 GB for nine million images
MAX_LINE = 1 << 17
_FOLDERS = ("", "images", "Images", "JPEGImages")
# what a column is -> names that it has, in small letters without anything else, the surest first
COLUMNS = {
    "file": "filename filepath file imagefilename imagefile imagename imagepath image imgname "
    "imgpath imgfile img path picturename picture photoname photo frame imageid imgid",
    "class": "classname class labelname label categoryname category objectname objectclass object "
    "kind type species tag name regionattributes classid labelid categoryid",
    "x0": "xmin minx x0 x1 left xtl xtopleft xstart startx roix1 bboxxmin bboxx1",
    "y0": "ymin miny y0 y1 top ytl ytopleft ystart starty roiy1 bboxymin bboxy1",
    "x1": "xmax maxx x2 x1 right xbr xbottomright xend endx roix2 bboxxmax bboxx2",
    "y1": "ymax maxy y2 y1 bottom ybr ybottomright yend endy roiy2 bboxymax bboxy2",
    "x": "x xmin left bboxx bboxleft x1 x0 topleftx",
    "y": "y ymin top bboxy bboxtop y1 y0 toplefty",
    "centre x": "xcenter centerx xcentre centrex xc cx bboxxcenter",
    "centre y": "ycenter centery ycentre centrey yc cy bboxycenter",
    "width": "w bboxwidth boxwidth bboxw width",
    "height": "h bboxheight boxheight bboxh height",
    "box": "bbox boundingbox box regionshapeattributes",
    "image width": "imagewidth imgwidth width",
    "image height": "imageheight imgheight height",
    "split": "split set subset partition usage",
}
_CORNERS, _SIDES = ("x0", "y0", "x1", "y1"), ("x", "y", "width", "height")
_FORMS = {  # what a box is -> its columns
    "corners": _CORNERS,
    "sides": _SIDES,
    "centre": ("centre x", "centre y", "width", "height"),
    "box": ("box",),
}
_BARE = (  # columns of tables without a header: those of RetinaNet, of makesense.ai, of AutoML
    ("file", *_CORNERS, "class"),
    ("class", *_SIDES, "file", "image width", "image height"),
    ("split", "file", "class", "x0", "y0", "", "", "x1", "y1", "", ""),
)
_ONE_CLASS = "object"  # where no column tells the class


class _Table(NamedTuple):
    """How a file is to be read: column -> its place in a line."""

    places: dict[str, int]
    form: str  # see _FORMS
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
        columns = ", ".join(name for name in COLUMNS if name in table.places)
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
    """Return the error for a path without boxes; it tells columns that are not known."""
    for file in _files(path):
        with suppress(DataError):
            return DataError(_lacking(file, _split(next(_lines(file), ""))[0]))
    return nothing_at(path, ".csv of boxes")


def unknown(path: str) -> str:
    """Return what is wrong with the columns of a table at ``path`` that looks like one of boxes.

    That is one whose second line names an image and four numbers, "" where there is none.
    """
    tables, suffixes = _tables(path), tuple(image_suffixes())
    for file in _files(path):
        with suppress(DataError):
            lines = _lines(file)
            header, _ = _split(next(lines, ""))
            words, _ = _split(next(lines, ""))
            image = any(word.lower().endswith(suffixes) for word in words)
            numbers = [part for word in words for part in re.split(r"[\s,]+", word.strip("[]() "))]
            if file not in tables and image and sum(map(_is_number, numbers)) >= len(_SIDES):
                return _lacking(file, header)
    return ""


def _lacking(file: str, words: Sequence[str]) -> str:
    """Return which columns of boxes a header of these words lacks, and what they may be called."""
    known = _known(words)
    forms = [[name for name in columns if name not in known] for columns in _FORMS.values()]
    lacking = ["file"] * ("file" not in known) + min(forms[:2], key=len)
    names = ", ".join(f"{name} ({' or '.join(COLUMNS[name].split()[:4])})" for name in lacking)
    found = ", ".join(word.strip()[:40] for word in words[:20])
    return (
        f"no columns of boxes: {file}: its columns are {found}: there is no {names or 'box'}: name "
        "the columns filename,class,xmin,ymin,xmax,ymax or as docs/detection.md says"
    )


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
    words, delimiter = _split(next(_lines(file), ""))
    places = _known(words)
    if "file" in places:
        for form, columns in _FORMS.items():
            own = [places[column] for column in columns if column in places]
            if len(set(own)) == len(columns):
                others = {name: at for name, at in places.items() if at not in own}
                return _Table(others | dict(zip(columns, own, strict=True)), form, delimiter, True)
    for columns in _BARE:
        places = {name: place for place, name in enumerate(columns) if name}
        if len(words) == len(columns) and _is_line(words, places):
            form = "corners" if "x0" in places else "sides"
            return _Table(places, form, delimiter, False)
    return None


def _split(line: str) -> tuple[list[str], str]:
    """Return the words of a line, and what is between them."""
    delimiter = max(",;\t", key=line.count)
    return next(csv.reader([line], delimiter=delimiter), []), delimiter


def _known(words: Sequence[str]) -> dict[str, int]:
    """Return column -> its place in a header, of the columns that have a known name there."""
    plain = [re.sub(r"[^a-z0-9]", "", word.lower()) for word in words]
    found = {
        column: [plain.index(name) for name in names.split() if name in plain]
        for column, names in COLUMNS.items()
    }
    return {column: places[0] for column, places in found.items() if places}


def _is_line(words: Sequence[str], places: dict[str, int]) -> bool:
    """Say whether words are those of a box: an image and its numbers, or none."""
    numbers = [words[at] for name, at in places.items() if name in (*_CORNERS, *_SIDES)]
    image = words[places["file"]].lower().endswith(tuple(image_suffixes()))
    return image and all(_is_number(word) or not word for word in numbers)


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
        class_name = _class_name(word("class")) if "class" in table.places else _ONE_CLASS
        if corners and not class_name:
            raise ValueError("the class is missing")
    except ValueError as error:
        fault, class_name = str(error), ""
    size = _side(word("image width")), _side(word("image height"))
    return _Row(number, word("file"), word("split"), class_name, corners, size, fault)


def _corners(word: Callable[[str], str], form: str) -> tuple[float, ...]:
    """Return the corners that a line tells, () if it tells no box. Raises ValueError."""
    columns = _FORMS[form]
    texts = [word(column) for column in columns]
    if texts[0].startswith("{"):
        return via_corners(texts[0])
    if form == "box":
        texts, columns = re.split(r"[\s,]+", texts[0].strip("[]() ")), _SIDES
    if not any(texts):
        return ()
    if len(texts) != len(columns):
        raise ValueError(f"bbox is {word('box')[:40]!r}, not [x, y, width, height]")
    x, y, u, v = (_value(text, column) for text, column in zip(texts, columns, strict=True))
    if form == "corners":
        return x, y, u, v
    if form == "centre":
        x, y = x - u / 2, y - v / 2
    return x, y, x + u, y + v


def _class_name(text: str) -> str:
    return via_class(text) if text.startswith("{") else text


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
