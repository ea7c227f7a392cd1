"""Text that may hold anything, as names of files do, made fit to be shown.

A terminal obeys control characters; line ends make one name look like two lines; marks of the
direction of writing show what follows backwards.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from unicodedata import category

# control, format, half of a pair, line and paragraph separator (Unicode, table 4-4)
_OBEYED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_NOT_PLAIN = re.compile("[^ -~]")
_JOINERS = "\u200c\u200d"  # format characters of everyday words and emoji
LAYOUT = "\n\t"  # of a text of several lines


def printable(text: str, keep: str = "") -> str:
    """Return ``text`` in one line, characters that act instead of showing escaped as in Python.

    Those of ``keep`` stay, as do all letters, signs and blanks. Doing it twice changes nothing.
    """

    def shown(found: re.Match[str]) -> str:
        each = found[0]
        harmless = each in keep or each in _JOINERS or category(each) not in _OBEYED
        return each if harmless else each.encode("unicode_escape").decode()

    return _NOT_PLAIN.sub(shown, text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 image, 2 classes, 3 boxes."""
    ending = "es" if noun.endswith(("s", "x")) else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def word(path: str) -> str:
    """Return a path as one word of a shell command; bytes that are no text need $'...' of bash."""
    path = f"./{path}" if path.startswith("-") else path
    if path.isprintable():
        return shlex.quote(path)
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(path)
    )
    return f"$'{escaped}'"


class PrintableWriter(io.TextIOWrapper):
    """A stream of text in which only line ends and tabs act."""

    def write(self, text: str) -> int:
        return super().write(printable(text, LAYOUT))
