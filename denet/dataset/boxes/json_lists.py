"""The lists of a JSON object in a file of any size, an entry at a time.

Memory holds a window of the text and one entry, not the whole: a short number or an empty list
takes ten times its text once it is an object of Python.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from denet.dataset.annotation_file import json_number, opened
from denet.errors import DataError
from denet.memory import room

MAX_JSON_BYTES = 1 << 30  # of a file; that of COCO 2017 has 0.45 GB
MAX_ENTRIES = 10_000_000  # of all lists, and members; COCO 2017 has a million
MAX_ENTRY = 1 << 21  # characters of an entry; an object with its outline has a thousand
_WINDOW = 1 << 22  # characters read at one go
_CHARACTER_BYTES = 30  # of memory at most for what is made of a character: "[]," is a list
_BLANKS = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_int=json_number)


def read_lists(file: str, takers: Mapping[str, Callable[[int, Any], None]]) -> set[str]:
    """Give every entry of the lists of these names, with its position, to the taker of the list.

    Other members of the object are passed over. Returns the names that are there. Raises DataError
    naming the file, also for a ValueError of a taker, and OutOfMemoryError.
    """
    with (
        opened(file, MAX_JSON_BYTES) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", newline="") as text,
    ):
        try:
            return _take_lists(_Text(text, file), takers)
        except (ValueError, RecursionError) as error:
            raise DataError(f"cannot read the annotations: {file}: {error}") from None


def _take_lists(text: _Text, takers: Mapping[str, Callable[[int, Any], None]]) -> set[str]:
    found: set[str] = set()
    text.expect("{")
    more = text.next() != "}"
    while more:
        name = text.value()
        text.expect(":")
        taker = takers.get(name) if isinstance(name, str) else None
        if taker and name in found:
            raise ValueError(f"{name} comes twice")
        if taker:
            found.add(name)
        if text.next() == "[":
            _take_entries(text, taker or _pass_over)
        elif taker:
            raise ValueError(f"{name} is not a list")
        else:
            text.value()
        if more := text.next() != "}":
            text.expect(",")
    text.expect("}")
    text.expect("")
    return found


def _take_entries(text: _Text, taker: Callable[[int, Any], None]) -> None:
    text.expect("[")
    position = 0
    more = text.next() != "]"
    while more:
        taker(position, text.value())
        position += 1
        if more := text.next() != "]":
            text.expect(",")
    text.expect("]")


def _pass_over(position: int, entry: Any) -> None:
    """Take an entry of a list that nobody needs."""


class _Text:
    """A JSON text that is read from the front, of which memory holds a window."""

    def __init__(self, stream: TextIO, name: str):
        self._stream, self._name = stream, name
        self._window, self._at = "", 0
        self._before = 0  # characters before the window
        self._ended = False
        self._count = 0  # of values

    def next(self) -> str:
        """Return the next character that is not blank, "" at the end."""
        while True:
            blanks = _BLANKS.match(self._window, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._window):
                return self._window[self._at]
            if self._ended:
                return ""
            self._read()

    def expect(self, wanted: str) -> None:
        """Pass over this character, "" being the end; ValueError if another one comes."""
        if self.next() != wanted:
            what = f"no {wanted!r}" if wanted else "more text"
            raise ValueError(f"{what} at character {self._before + self._at}")
        self._at += len(wanted)

    def value(self) -> Any:
        """Return the value that comes next; ValueError if it is none or longer than MAX_ENTRY."""
        self.next()
        while len(self._window) - self._at <= MAX_ENTRY and not self._ended:
            self._read()
        try:
            value, end = _DECODER.raw_decode(self._window, self._at)
        except json.JSONDecodeError as error:
            place = self._before + error.pos
            long = "" if self._ended else f", or more than {MAX_ENTRY} characters in one entry"
            raise ValueError(f"{error.msg} at character {place}{long}") from None
        if end - self._at > MAX_ENTRY:
            raise ValueError(
                f"more than {MAX_ENTRY} characters in one entry at {self._before + self._at}"
            )
        self._at = end
        self._count += 1
        if self._count > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES} entries")
        return value

    def _read(self) -> None:
        """Move the window on."""
        text = self._stream.read(_WINDOW)
        mend = "split them, or use a machine with more memory"
        with room(_CHARACTER_BYTES * len(text), f"annotations: {self._name}", mend):
            self._before += self._at
            self._window, self._at = self._window[self._at :] + text, 0
            self._ended = not text
