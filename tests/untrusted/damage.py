"""Damage to files, as accidents and strangers do it, and what may come of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from denet.errors import DenetError

MAX_MESSAGE = 1500  # characters of an error
# characters that a terminal obeys, but for the line end
ACTING = r"\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
NUMBERS = b"0 -1 1 2 255 65536 2147483648 4294967295 18446744073709551615 1e999 NaN null".split()
NUMBERS.append(b"9" * 5000)
VALUES = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 65536, 10**9, 2**62, 10**30, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", "x", "conv", "half", "\ud800", "\x1b]0;x\x07", "a\nb"),
    "\u2028\u202ex",
    *("y" * 5000, [], {}, [0], [1, 1], [-1, 2], [[]], [None], ["x"] * 300, {"type": "conv"}),
)


def outcome(read: Callable[[], Any], *words: str, lines: int = 1) -> Any:
    """Return what ``read`` returns, or the error if it tells in few lines, with these words."""
    try:
        return read()
    except DenetError as error:
        text = str(error)
        assert 1 <= len(text.split("\n")) <= lines and len(text) < MAX_MESSAGE, text
        assert not re.search(f"[{ACTING}]", text), ascii(text)
        assert all(word in text for word in words), text
        return error


def flip(content: bytes, start: int, end: int, more: bytes) -> bytes:
    bit = 1 << (more[0] & 7)
    return content[:start] + bytes([content[start] ^ bit]) + content[start + 1 :]


def renumber(content: bytes, start: int, end: int, more: bytes) -> bytes:
    """Put another number in the place of one that stands there in digits."""
    found = list(re.finditer(rb"-?[0-9.]+", content[:4096]))
    if not found:
        return content
    place = found[start % len(found)]
    return content[: place.start()] + NUMBERS[end % len(NUMBERS)] + content[place.end() :]


DAMAGES: tuple[Callable[[bytes, int, int, bytes], bytes], ...] = (
    flip,
    renumber,
    lambda content, start, end, more: content[:start],
    lambda content, start, end, more: content[:start] + content[end:],
    lambda content, start, end, more: content[:end] + content[start:],
    lambda content, start, end, more: content[:start] + more + content[start:],
    lambda content, start, end, more: content[:start] + more + content[start + len(more) :],
    lambda content, start, end, more: content[:start] + bytes(end - start) + content[end:],
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a file that was ``content`` before one to three damages."""
    for _ in range(draw(st.integers(1, 3))):
        if not content:
            break
        places = st.integers(0, len(content) - 1)
        if draw(st.booleans()):  # headers are where the harm is
            places = st.integers(0, min(len(content) - 1, 200))
        start, end = sorted((draw(places), draw(places)))
        damage = draw(st.sampled_from(DAMAGES))
        content = damage(content, start, end, draw(st.binary(min_size=1, max_size=8)))
    return content


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a JSON value."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = value.keys()
    elif isinstance(value, list):
        keys = range(len(value))
    return [place for key in keys for place in [(value, key), *places_in(value[key])]]


@st.composite
def damaged_json(draw: st.DrawFn, value: Any) -> Any:
    """Draw a JSON value like this one, with one to three of its parts lost, replaced or moved."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = places_in(value)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["drop", "replace", "move", "deepen", "repeat", "rename"])):
            case "drop":
                del container[key]
            case "replace":
                container[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            case "move":
                source, other = draw(st.sampled_from(places))
                container[key] = copy.deepcopy(source[other])
            case "deepen":
                for _ in range(draw(st.sampled_from([1, 2, 150]))):
                    container[key] = [container[key]]
            case "repeat" if isinstance(container, list):
                container[key:key] = [container[key]] * draw(st.sampled_from([1, 5, 50]))
            case "rename" if isinstance(container, dict):
                names = [other for _, other in places if isinstance(other, str)]
                container[draw(st.sampled_from([*names, "", "\x1b[2J"]))] = container.pop(key)
    return value
