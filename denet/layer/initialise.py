"""How the weights of a layer start: the schemes of --weight-init."""

from __future__ import annotations

import math
import re
from typing import Any

from denet.errors import nearest_hint
from denet.graph.initial import Initial, constant
from denet.kind import Kind, Real

# scheme: (gain, whether the fan counts input channels rather than output channels).
# He et al. 2015 (arXiv 1502.01852), section 2.2, equations 10 and 14, for "he"; "xavier" is the
# one-sided form of Glorot and Bengio 2010.
SCHEMES = {
    "he-forward": (2.0, True),
    "he-backward": (2.0, False),
    "xavier-forward": (1.0, True),
    "xavier-backward": (1.0, False),
}
SPREAD = Real(0.0, 1e6)
DEFAULT = "he-backward"


def split_scheme(scheme: str | float) -> tuple[str, str]:
    """Return (distribution, rest) of a scheme; ``rest`` names a scheme or is a number."""
    match = re.fullmatch(r"uniform[,-](.+)|(.+)[,-]uniform", str(scheme))
    return ("uniform", match[1] or match[2]) if match else ("normal", str(scheme))


def weight_initial(scheme: str | float, shape: tuple[int, ...]) -> Initial:
    """Return the start of weights of this (out, in, height, width) shape.

    A named scheme spreads by sqrt(gain / (height * width * channels)), a number by itself:
    the standard deviation of a normal distribution, or with "uniform" the largest magnitude.
    0 gives zeros.
    """
    distribution, rest = split_scheme(scheme)
    if rest in SCHEMES:
        gain, by_input = SCHEMES[rest]
        outputs, inputs, height, width = shape
        spread = math.sqrt(gain / (height * width * (inputs if by_input else outputs)))
    else:
        spread = SPREAD.read(rest)
    return Initial(distribution, spread) if spread else constant(0.0)


class WeightScheme(Kind):
    """A scheme by name or by number; "uniform,SCHEME" draws from a uniform distribution."""

    rule = f"{', '.join(SCHEMES)} or {SPREAD.rule}, alone or as uniform,SCHEME"

    def read(self, word: str) -> str | float:
        distribution, rest = split_scheme(word)
        if rest not in SCHEMES:
            try:
                number = SPREAD.read(rest)
            except ValueError:
                raise self.error(word, nearest_hint(rest, list(SCHEMES))) from None
            if distribution == "normal":
                return number
            rest = SPREAD.write(number)
        return f"uniform,{rest}" if distribution == "uniform" else rest

    def check(self, value: Any) -> str | float:
        if isinstance(value, str):
            return self.read(value)
        try:
            return SPREAD.check(value)
        except ValueError:
            raise self.error(value) from None

    def write(self, value: str | float) -> str:
        return value if isinstance(value, str) else SPREAD.write(value)

    def refused(self) -> list[str]:
        return ["he-sideways", "-1", "uniform", "uniform,", "uniform,uniform,1", ""]
