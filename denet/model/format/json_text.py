"""JSON from strangers: bounded in depth, number of elements and digits of whole numbers."""

from __future__ import annotations

import json
from typing import Any

from denet.errors import DataError

MAX_ELEMENTS = 2_000_000  # each costs about 100 bytes of memory; as many as a million labels need
MAX_DEPTH = 100  # models take 5; what Python nests deeper than 1000 it can neither show nor save
MAX_DIGITS = 18  # of a whole number; a longer one takes time by the square of its length


def parse_object(text: bytes | bytearray, source: str) -> dict[str, Any]:
    """Return the JSON object in ``text`` (UTF-8); raise DataError naming ``source``.

    Elements are counted before anything is built: a few bytes of text can ask for a hundred times
    their size. The count is an upper bound, as separators inside strings count too.
    """
    elements = sum(text.count(separator) for separator in (b",", b"[", b"{"))
    if elements > MAX_ELEMENTS:
        raise DataError(f"damaged model file: {source}: {elements} JSON elements are too many")
    try:
        value = json.loads(str(text, "utf-8"), parse_int=_whole_number)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise DataError(f"damaged model file: {source}: not readable as JSON ({error})") from error
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


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)
