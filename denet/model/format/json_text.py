"""JSON from strangers: bounded in depth, number of elements and digits of whole numbers."""

from __future__ import annotations

import json
from typing import Any

from denet.errors import DataError
from denet.kind import whole_number
from denet.memory import bytes_text, room

MAX_ELEMENTS = 2_000_000  # as many as a million labels need
MAX_DEPTH = 100  # models take 5; what Python nests deeper than 1000 it can neither show nor save
MAX_WIDE_BYTES = 1 << 26  # of a text that is not ASCII; weights are, and labels can be escaped
_ELEMENT_BYTES = 100  # of memory for each, about
_WIDEST = 4  # bytes that a character takes in memory where not all are ASCII


def parse_object(text: bytes | bytearray, source: str) -> dict[str, Any]:
    """Return the JSON object in ``text`` (UTF-8); raise DataError naming ``source``.

    Elements are counted before anything is built: a few bytes of text can ask for a hundred times
    their size. The count is an upper bound, as separators inside strings count too. Raises
    OutOfMemoryError if what is built may not fit.
    """
    elements = sum(text.count(separator) for separator in (b",", b"[", b"{"))
    if elements > MAX_ELEMENTS:
        raise DataError(f"damaged model file: {source}: {elements} JSON elements are too many")
    plain = text.isascii()
    if not plain and len(text) > MAX_WIDE_BYTES:
        raise DataError(f"damaged model file: {source}: {len(text)} bytes of JSON beyond ASCII")
    read, made = 1 if plain else _WIDEST, 1 if plain and b"\\u" not in text else _WIDEST
    needed = (read + made) * len(text) + _ELEMENT_BYTES * elements
    what = f"{bytes_text(len(text))} of JSON: {source}"
    with room(needed, what, "use a machine with more memory"):
        try:
            characters = str(text, "utf-8")
            del text  # a third copy of what can be a gigabyte
            value = json.loads(characters, parse_int=whole_number)
        except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
            raise DataError(
                f"damaged model file: {source}: not readable as JSON ({error})"
            ) from error
    if not isinstance(value, dict):
        raise DataError(f"damaged model file: {source}: JSON holds no object")
    if _deeper(value, MAX_DEPTH):
        raise DataError(f"damaged model file: {source}: JSON deeper than {MAX_DEPTH} levels")
    return value


def _deeper(value: Any, depth: int) -> bool:
    """Return whether objects and lists lie deeper in each other than ``depth``."""
    level = [value]
    for _ in range(depth):
        held = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in held for item in items if isinstance(item, dict | list)]
    return bool(level)
