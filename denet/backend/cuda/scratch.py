"""A scratch array in parts."""

from __future__ import annotations

ALIGNMENT = 256  # bytes


class Scratch:
    """The parts of a scratch array, laid out before its memory is known."""

    def __init__(self) -> None:
        self.nbytes = 0

    def reserve(self, nbytes: int) -> slice:
        """Return where a part of ``nbytes`` lies."""
        start = self.nbytes
        self.nbytes += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return slice(start, start + nbytes)
