"""The border modes of a convolution: how many zeros stand around the map."""

from __future__ import annotations

from typing import Any

from denet.errors import nearest_hint
from denet.kind import Integer, Kind

# mode: window length -> zeros (before, after)
PADDING = {
    "valid": lambda size: (0, 0),
    "full": lambda size: (size - 1, size - 1),
    "half": lambda size: (size // 2, size // 2),
    "same": lambda size: (size // 2, (size - 1) // 2),
}
WIDTH = Integer(0, 1024)


def padding(mode: str | int, size: int) -> tuple[int, int]:
    """Return the zeros (before, after) that ``mode`` adds along an axis with this window length.

    "same" keeps the length at stride 1: "full" cut at (size - 1) // 2. An int adds that many
    zeros on both sides.
    """
    return (mode, mode) if isinstance(mode, int) else PADDING[mode](size)


class BorderMode(Kind):
    """A border mode by name, or the number of zeros on each side."""

    rule = f"one of {', '.join(PADDING)} or {WIDTH.rule}"

    def read(self, word: str) -> str | int:
        if word in PADDING:
            return word
        try:
            return WIDTH.read(word)
        except ValueError:
            raise self.error(word, nearest_hint(word, list(PADDING))) from None

    def check(self, value: Any) -> str | int:
        if isinstance(value, str):
            return self.read(value)
        try:
            return WIDTH.check(value)
        except ValueError:
            raise self.error(value) from None

    def refused(self) -> list[str]:
        return ["halve", "-1", "1.5", ""]
