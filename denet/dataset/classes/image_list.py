"""Images that a text file lists, a line each: CLASS PATH, or PATH CLASS.

A line that ends in the suffix of an image begins with its class, any other ends with it: a class is
one word, a path may hold blanks. Paths are relative to the directory of the list.
"""

from __future__ import annotations

import os
import re

from denet.dataset.annotation_file import read_lines
from denet.dataset.image.decode import image_suffixes
from denet.errors import DataError
from denet.kind import MOST_DIGITS

LIST_SUFFIXES = (".txt", ".lst", ".list")
_CLASS_PATH = re.compile(r"(?P<label>\S+)\s+(?P<path>.+)")
_PATH_CLASS = re.compile(r"(?P<path>.+?)\s+(?P<label>\S+)")


def read_list(path: str) -> tuple[list[str], list[str]]:
    """Return the files that a list names, and the class of each.

    Raises DataError for a list without images, a line that is no such pair, and where none of the
    files is there.
    """
    folder, where = os.path.dirname(path), os.path.abspath(path)
    suffixes = tuple(image_suffixes())
    files, classes = [], []
    for number, line in enumerate(read_lines(path), 1):
        ends_in_path = line.lower().endswith(suffixes)
        match = (_CLASS_PATH if ends_in_path else _PATH_CLASS).fullmatch(line)
        if not match or not match["path"].lower().endswith(suffixes):
            raise DataError(
                f"line {number} {line[:80]!r}: {where}: give each image a line: CLASS PATH, or "
                "PATH CLASS"
            )
        files.append(os.path.join(folder, match["path"]))
        classes.append(match["label"])
    if not files:
        raise DataError(f"no images: {where}: give each image a line: CLASS PATH, or PATH CLASS")
    if not any(map(os.path.exists, files)):
        raise DataError(
            f"none of its {len(files)} images is there: {files[0]}: {where}: paths are relative to "
            "the directory of the list: move it, or give whole paths"
        )
    return files, classes


def tells_classes(path: str) -> bool:
    """Say whether a text file lists images with their classes, as ``read_list`` reads them.

    One in which a whole line is an image, or that is no such list, does not.
    """
    folder = os.path.dirname(path)
    if not (path.lower().endswith(LIST_SUFFIXES) and os.path.isfile(path)):
        return False
    try:
        if any(os.path.exists(os.path.join(folder, line)) for line in read_lines(path)):
            return False
        read_list(path)
    except DataError:
        return False
    return True


def class_order(names: list[str]) -> list[str]:
    """Return the classes sorted, by value where all are numbers: 2 before 10."""
    found = sorted(set(names))
    numbers = all(name.isdecimal() and len(name) <= MOST_DIGITS for name in found)
    return sorted(found, key=int) if numbers else found
