"""Layers of a network chosen by words: numbers, ranges, paths, types; factors for some."""

from __future__ import annotations

import re
from collections.abc import Sequence

from denet.errors import UsageError, nearest_hint
from denet.kind import Real
from denet.layer.base import Layer

FACTOR = Real(0, 1e6)
MOMENTUM = Real(0, 1, below=True)
RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def layer_numbers(
    layers: Sequence[Layer], words: Sequence[str], option: str = "skip-layer-updates"
) -> frozenset[int]:
    """Return the numbers, from 1, of the layers that any of the words of an option names.

    A word is a number "3", a range "1-4", a number with its type "5.resnet", or all layers of a
    type, "batchnorm", or of a symbol, "BN"; commas may join several. Raises UsageError for a word
    that names no layer.
    """
    count = len(layers)
    types = [layer.type_name for layer in layers]
    named = {f"{number}.{name}": {number} for number, name in enumerate(types, 1)}
    for number, name in enumerate(types, 1):
        named.setdefault(name, set()).add(number)
    for number, layer in enumerate(layers, 1):
        if layer.symbol:
            named.setdefault(layer.symbol, set()).add(number)
    chosen: set[int] = set()
    for word in (part for each in words for part in each.split(",")):
        if match := RANGE.fullmatch(word):
            first, last = int(match[1]), int(match[2] or match[1])
            found = set(range(first, last + 1)) if 1 <= first <= last <= count else set()
        else:
            found = named.get(word, set())
        if not found:
            raise UsageError(
                f"--{option}: {word!r} names no layer{nearest_hint(word, list(named))}: give "
                f"numbers from 1 to {count}, ranges such as 1-{count}, paths such as 1.{types[0]}, "
                f"or types: {', '.join(dict.fromkeys(types))}"
            )
        chosen |= found
    return frozenset(chosen)


# options that give numbers to some layers: what these are called, which there may be, an example
PER_LAYER = {
    "layer-rates": ("factor", FACTOR, "F=2"),
    "layer-decays": ("factor", FACTOR, "F=2"),
    "layer-momenta": ("momentum", MOMENTUM, "F=0.5"),
}


def layer_factors(layers: Sequence[Layer], words: Sequence[str], option: str) -> dict[int, float]:
    """Return {number of a layer: factor} of words LAYER=FACTOR, the later ones winning.

    LAYER is one word of ``layer_numbers``; commas may join several; ``option`` is one of
    PER_LAYER. Raises UsageError.
    """
    what, kind, example = PER_LAYER[option]
    factors: dict[int, float] = {}
    for word in (part for each in words for part in each.split(",")):
        chosen, equals, text = word.partition("=")
        if not equals:
            raise UsageError(
                f"--{option}: {word!r:.60}: give LAYER={what.upper()}, such as 1-4=0.1 or {example}"
            )
        numbers = layer_numbers(layers, [chosen], option)
        try:
            factors |= dict.fromkeys(numbers, kind.read(text))
        except ValueError as error:
            raise UsageError(f"--{option}: the {what} of {chosen} {error}") from None
    return factors
