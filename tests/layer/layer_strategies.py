"""Random layers and values, drawn from the declarations themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from denet.errors import DescriptionError
from denet.kind import Choice, Fixed, Flag, Integer, Kind, Real
from denet.layer.base import Layer, declarations
from denet.layer.border_mode import PADDING, BorderMode
from denet.layer.declare import Declaration
from denet.layer.initialise import SCHEMES, WeightScheme
from denet.layer.registry import all_layers


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """Return a strategy for the values that a kind allows."""
    match kind:
        case Integer():
            low, high, step = kind.low, kind.high, 2 if kind.odd else 1
            return st.integers(0, (high - low) // step).map(lambda count: low + step * count)
        case Real():
            return st.floats(kind.low, kind.high, exclude_min=kind.above, exclude_max=kind.below)
        case Fixed():
            return st.just(kind.value)
        case Flag():
            return st.booleans()
        case Choice():
            return st.sampled_from(kind.words)
        case BorderMode():
            return st.sampled_from([*PADDING]) | st.integers(0, 1024)
        case WeightScheme():
            schemes = st.sampled_from([*SCHEMES])
            return schemes | schemes.map("uniform,{}".format) | st.floats(0, 1e6)
    raise AssertionError(kind)


def field_values(declaration: Declaration) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a field."""
    one = values(declaration.kind)
    if declaration.axes:
        same = one.map(lambda value: (value,) * len(declaration.axes))
        one = same | st.tuples(*[one] * len(declaration.axes))
    return one if declaration.required else one | st.just(declaration.default)


@st.composite
def layers_of(draw: st.DrawFn, layer_type: type[Layer], in_text_only: bool) -> Layer:
    """Draw a layer; with ``in_text_only`` what the text does not carry keeps its default."""
    fields = {
        name: draw(field_values(declaration))
        for name, declaration in declarations(layer_type).items()
        if not in_text_only or declaration.role in ("argument", "tag")
    }
    try:
        return layer_type(**fields)
    except DescriptionError:
        assume(False)
        raise


def any_layer(in_text_only: bool = False) -> st.SearchStrategy[Layer]:
    """Draw a layer of any type."""
    types = [each for each in all_layers() if each.symbol or not in_text_only]
    return st.sampled_from(types).flatmap(lambda each: layers_of(each, in_text_only))
