"""JSON from strangers: bounded in size, depth and number of elements."""

from __future__ import annotations

import json
from typing import Any

from denet.errors import DataError

MAX_ELEMENTS = 1_000_000  # each costs about 100 bytes of memory; real models hold some thousands
MAX_DIGITS = 18


def parse_object(text: bytes | bytearray, source: str) -> dict[str, Any]:
    """Return the JSON object in ``text`` (UTF-8); raise DataError naming ``source``.

    Elements are counted before anything is built: a few bytes of text can ask for a hundred times
    their size. The count is an upper bound, as separators inside strings count too.
    """
    elements = sum(text.count(separator) for separator in (b",", b"[", b"{"))
    if elements > MAX_ELEMENTS:
        raise DataError(f"damaged model file: {source}: {elements} JSON elements are too many")
    try:
        value = json.loads(text, parse_int=_whole_number)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise DataError(f"damaged model file: {source}: not readable as JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"damaged model file: {source}: JSON holds no object")
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)
