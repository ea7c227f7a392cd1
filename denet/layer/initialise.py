"""How the weights of a layer start: the schemes of --weight-init."""

from __future__ import annotations

import math
import re
from typing import Any

from denet.errors import nearest_hint
from denet.graph.initial import Initial, constant
from denet.kind import Kind, Real

# scheme: (gain, whether inputs of a window, outputs of a window, filters add up to its fan).
# He et al. 2015 (arXiv 1502.01852), section 2.2, equations 10 and 14, for "he"; "xavier" is the
# one-sided form of Glorot and Bengio 2010; "ccv" is that of ccv's networks, always uniform. Its fan
# counts a filter once where that of Glorot and Bengio, whose gain is 6, counts it for each cell.
SCHEMES = {
    "he-forward": (2.0, (1, 0, 0)),
    "he-backward": (2.0, (0, 1, 0)),
    "xavier-forward": (1.0, (1, 0, 0)),
    "xavier-backward": (1.0, (0, 1, 0)),
    "ccv": (2.0, (1, 0, 1)),
}
UNIFORM = {"ccv"}
SPREAD = Real(0.0, 1e6)
DEFAULT = "he-backward"


def split_scheme(scheme: str | float) -> tuple[str, str]:
    """Return (distribution, rest) of a scheme; ``rest`` names a scheme or is a number."""
    match = re.fullmatch(r"uniform[,-](.+)|(.+)[,-]uniform", str(scheme))
    rest = (match[1] or match[2]) if match else str(scheme)
    return ("uniform" if match or rest in UNIFORM else "normal"), rest


def weight_initial(scheme: str | float, shape: tuple[int, ...]) -> Initial:
    """Return the start of weights of this (out, in, height, width) shape.

    A named scheme spreads by sqrt(gain / fan), a number by itself: the standard deviation of a
    normal distribution, or with "uniform" the largest magnitude. The fan is height * width *
    channels, those of the input (forward) or of the output (backward). 0 gives zeros.
    """
    distribution, rest = split_scheme(scheme)
    if rest in SCHEMES:
        gain, (inputs, outputs, once) = SCHEMES[rest]
        filters, channels, height, width = shape
        fan = height * width * (inputs * channels + outputs * filters) + once * filters
        spread = math.sqrt(gain / fan)
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
