"""One layer of the network text, ``SYMBOL.TAGS[ARGUMENTS]``: read, write and explain it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from denet.layer.base import Layer, declarations
from denet.layer.declare import REQUIRED, Declaration
from denet.layer.options import LayerOptions

PER_AXIS = "X"


class TokenError(ValueError):
    """A layer text that does not fit its declaration; names the tag or the argument at fault."""

    def __init__(self, message: str, tag: int | None = None, argument: int | None = None):
        super().__init__(message)
        self.tag = tag
        self.argument = argument


@dataclass(frozen=True)
class Place:
    """One place between the brackets: a field, or under X one axis of it."""

    label: str
    name: str
    declaration: Declaration
    axis: int | None = None

    @property
    def default(self) -> Any:
        """The value when the place is left out; REQUIRED if it must be given."""
        if self.axis is not None:
            return self.declaration.axis_default
        default = self.declaration.default
        return default[0] if isinstance(default, tuple) else default


def places(layer_type: type[Layer], per_axis: bool = False) -> list[Place]:
    """Return the places of a layer type in the order they are written."""
    found = []
    for name, declaration in declarations(layer_type).items():
        if declaration.role == "argument":
            if per_axis and declaration.axes:
                found += [
                    Place(label, name, declaration, axis)
                    for axis, label in enumerate(declaration.axes)
                ]
            else:
                found.append(Place(name, name, declaration))
    return found


def tags(layer_type: type[Layer]) -> dict[str, str]:
    """Return {letter: what it does} of a layer type."""
    known = {
        declaration.letter: declaration.help
        for declaration in declarations(layer_type).values()
        if declaration.role == "tag"
    }
    axes = [place.label for place in places(layer_type, True) if place.axis is not None]
    if axes:
        known[PER_AXIS] = f"{', '.join(axes)} each have their own place"
    return known


def usage(layer_type: type[Layer], per_axis: bool = False) -> str:
    """Return how the layer is written, such as ``C[filters, size=1, stride=1]``."""
    words = []
    for place in places(layer_type, per_axis):
        default = place.default
        if default is None:
            words.append(f"{place.label}={place.declaration.same_as or 'whole map'}")
        elif default is REQUIRED:
            words.append(place.label)
        else:
            words.append(f"{place.label}={place.declaration.kind.write(default)}")
    symbol = layer_type.symbol + ("." + PER_AXIS if per_axis else "")
    return f"{symbol}[{', '.join(words)}]" if words else symbol


def read_layer(
    layer_type: type[Layer],
    letters: str,
    words: Sequence[str],
    options: LayerOptions,
    token: int = 0,
) -> Layer:
    """Return the layer written with these tags and arguments; ``token`` counts from 0.

    Raises TokenError if they do not fit the declaration and DescriptionError if the values do
    not fit each other.
    """
    check_tags(layer_type, letters)
    values = read_arguments(layer_type, words, PER_AXIS in letters)
    for name, declaration in declarations(layer_type).items():
        if declaration.role == "tag":
            values[name] = (declaration.letter in letters) != declaration.default
        elif declaration.role == "option":
            values[name] = options.value(name, token)
    return layer_type(**values)


def check_tags(layer_type: type[Layer], letters: str) -> None:
    """Raise TokenError for a tag that the layer does not have or that stands twice."""
    known = sorted(tags(layer_type))
    counts = Counter[str]()
    for position, letter in enumerate(letters):
        if letter not in known:
            listed = ", ".join(known) if known else "none"
            raise TokenError(f"unknown tag {letter!r} (known: {listed})", tag=position)
        counts[letter] += 1
        if counts[letter] > 1:
            raise TokenError(f"the tag {letter!r} is given twice", tag=position)


def read_arguments(layer_type: type[Layer], words: Sequence[str], per_axis: bool) -> dict[str, Any]:
    """Return {field: value} of the words between the brackets."""
    expected = places(layer_type, per_axis)
    form = usage(layer_type, per_axis)
    if len(words) > len(expected):
        raise TokenError(
            f"takes at most {len(expected)} arguments: {form}; got {len(words)}"
            if expected
            else f"takes no arguments; got {len(words)}",
            argument=len(expected),
        )
    found: dict[tuple[str, int | None], Any] = {}
    for position, place in enumerate(expected):
        key = (place.name, place.axis)
        if position < len(words):
            try:
                found[key] = place.declaration.kind.read(words[position])
            except ValueError as error:
                raise TokenError(f"{place.label} {error}", argument=position) from None
        elif place.default is REQUIRED:
            raise TokenError(f"{place.label} is missing: {form}")
        else:
            found[key] = found.get((place.declaration.same_as, place.axis), place.default)
    return {
        name: found[name, None]
        if (name, None) in found
        else tuple(value for (field, _), value in found.items() if field == name)
        for name, _ in found
    }


def write_layer(layer: Layer) -> str:
    """Return the shortest text that ``read_layer`` turns into this layer, options apart."""
    layer_type = type(layer)
    letters = "".join(
        declaration.letter
        for name, declaration in declarations(layer_type).items()
        if declaration.role == "tag" and getattr(layer, name) != declaration.default
    )
    per_axis = any(
        place.axis and value(layer, place) != getattr(layer, place.name)[0]
        for place in places(layer_type, True)
        if getattr(layer, place.name) is not None
    )
    written = places(layer_type, per_axis)
    while written and value(layer, written[-1]) == default_value(layer, written[-1]):
        written.pop()
    text = layer_type.symbol
    if letters or per_axis:
        text += "." + letters + PER_AXIS * per_axis
    if written:
        text += f"[{','.join(p.declaration.kind.write(value(layer, p)) for p in written)}]"
    return text


def value(layer: Layer, place: Place) -> Any:
    """Return what the layer holds in this place."""
    held = getattr(layer, place.name)
    return held[place.axis or 0] if isinstance(held, tuple) else held


def default_value(layer: Layer, place: Place) -> Any:
    """Return what this place holds when it is left out."""
    if place.default is None and place.declaration.same_as:
        held = getattr(layer, place.declaration.same_as)
        return held[place.axis or 0] if isinstance(held, tuple) else held
    return place.default
