"""The kinds of value an option takes: how each is read from text, checked, written, explained."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from denet.errors import nearest_hint

SHOWN_LENGTH = 40  # characters of a wrong value that an error repeats
MOST_DIGITS = 18  # of a whole number; a longer one takes time by the square of its length


class Kind:
    """Base of all kinds. ``rule`` completes the sentence "size must be ..."."""

    rule = ""

    def read(self, word: str) -> Any:
        """Return the value written as ``word``; raise ValueError("must be RULE; got WORD")."""
        raise AssertionError("abstract")

    def check(self, value: Any) -> Any:
        """Return ``value`` in its standard form; raise ValueError if it breaks the rule."""
        raise AssertionError("abstract")

    def write(self, value: Any) -> str:
        """Return the text that ``read`` turns into ``value``."""
        return str(value)

    def refused(self) -> list[str]:
        """Return words that ``read`` refuses, one for each way to be wrong."""
        return []

    def error(self, value: Any, hint: str = "") -> ValueError:
        """Return the error that tells the rule and the value that breaks it."""
        shown = value if isinstance(value, str) else repr(value)
        if len(shown) > SHOWN_LENGTH:
            shown = shown[:SHOWN_LENGTH] + "..."
        return ValueError(f"must be {self.rule}; got {shown!r}{hint}")


def whole_number(digits: str, most: int = MOST_DIGITS) -> int:
    """Return a whole number of JSON. Raises ValueError for one of more than ``most`` digits."""
    if len(digits) > most:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number from ``low`` to ``high``, both allowed."""

    low: int
    high: int
    odd: bool = False

    @property
    def rule(self) -> str:  # type: ignore[override]
        return f"{'an odd' if self.odd else 'a'} whole number from {self.low} to {self.high}"

    def read(self, word: str) -> int:
        if not re.fullmatch(rf"[+-]?[0-9]{{1,{MOST_DIGITS}}}", word):
            raise self.error(word)
        return self.check(int(word))

    def check(self, value: Any) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise self.error(value) from None
        parity_holds = number % 2 == 1 or not self.odd
        if isinstance(value, bool) or not self.low <= number <= self.high or not parity_holds:
            raise self.error(str(value))
        return number

    def refused(self) -> list[str]:
        even = [str(self.low + 1)] if self.odd else []
        limits = [str(self.low - 1), str(self.high + 1), "9" * 5000]
        return [*limits, *even, "1.5", "1e2", "0x10", "1_0", "three", "nan", "-", "٣"]


@dataclass(frozen=True)
class Real(Kind):
    """A finite number from ``low`` to ``high``; ``below`` and ``above`` exclude the ends."""

    low: float
    high: float
    above: bool = False  # the value must be above low, not equal to it
    below: bool = False  # the value must be below high, not equal to it

    @property
    def rule(self) -> str:  # type: ignore[override]
        low = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        high = f"below {self.high:g}" if self.below else f"at most {self.high:g}"
        return f"a number {low} and {high}"

    def read(self, word: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", word):
            raise self.error(word)
        try:
            return self.check(float(word))
        except ValueError:
            raise self.error(word) from None

    def check(self, value: Any) -> float:
        if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
            raise self.error(value)
        number = float(value)
        low_holds = number > self.low if self.above else number >= self.low
        high_holds = number < self.high if self.below else number <= self.high
        if not (math.isfinite(number) and low_holds and high_holds):
            raise self.error(str(value))
        return number

    def write(self, value: float) -> str:
        return repr(value).removesuffix(".0")

    def refused(self) -> list[str]:
        low = str(self.low) if self.above else str(self.low - 1)
        high = str(self.high) if self.below else str(self.high + 1)
        return [low, high, "nan", "inf", "1e999", "half", "1_0", "0x1", ".", "1,5"]


@dataclass(frozen=True)
class Fixed(Kind):
    """A number that can only have one value; ``reason`` says why the place exists."""

    value: float
    reason: str

    @property
    def rule(self) -> str:  # type: ignore[override]
        return f"{self.value:g} ({self.reason})"

    def read(self, word: str) -> float:
        try:
            return self.check(float(word))
        except ValueError:
            raise self.error(word) from None

    def check(self, value: Any) -> float:
        if value != self.value:
            raise self.error(value)
        return self.value

    def write(self, value: float) -> str:
        return f"{value:g}"

    def refused(self) -> list[str]:
        return [f"{self.value + 1:g}", "nan", "none"]


class Flag(Kind):
    """True or false."""

    rule = "true or false (or 1 or 0)"
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

    def read(self, word: str) -> bool:
        if word.lower() not in self.words:
            raise self.error(word)
        return self.words[word.lower()]

    def check(self, value: Any) -> bool:
        if value not in (True, False):
            raise self.error(value)
        return bool(value)

    def write(self, value: bool) -> str:
        return str(value).lower()

    def refused(self) -> list[str]:
        return ["2", "on ", "maybe"]


class Bytes(Kind):
    """A size of memory; k, M, G and T count in thousands, Ki, Mi, Gi and Ti in 1024."""

    rule = "a size of memory, such as 800MB, 1.5GB or 2GiB"
    powers = ("", "k", "M", "G", "T")

    def read(self, word: str) -> int:
        pattern = r"(\d{1,18}(?:\.\d{1,9})?) ?([kmgt]?)(i?)b?"
        match = re.fullmatch(pattern, word, re.ASCII | re.IGNORECASE)
        if not match or (match[3] and not match[2]):
            raise self.error(word)
        base = 1024 if match[3] else 1000
        power = "kmgt".index(match[2].lower()) + 1 if match[2] else 0
        return self.check(math.floor(Fraction(match[1]) * base**power))

    def check(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 63:
            raise self.error(value)
        return value

    def write(self, value: int) -> str:
        power = 0
        while value % 1000 == 0 and power < len(self.powers) - 1:
            value, power = value // 1000, power + 1
        return f"{value}{self.powers[power]}B"

    def refused(self) -> list[str]:
        return ["0", "-1GB", "GB", "2iB", "2 G B", "1e9", "nan", "9" * 19, "٣GB", "0.1B"]


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def rule(self) -> str:  # type: ignore[override]
        return f"one of {', '.join(self.words)}"

    def read(self, word: str) -> str:
        return self.check(word)

    def check(self, value: Any) -> str:
        if value not in self.words:
            raise self.error(value, nearest_hint(str(value), list(self.words)))
        return str(value)

    def refused(self) -> list[str]:
        return [self.words[0] + "x", "?"]


FILTERS = Integer(1, 65536)
LENGTH = Integer(1, 1024)  # of a window or a step, in pixels
