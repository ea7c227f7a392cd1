"""How a layer declares a field: once, beside its type, for every use of it.

Reading and writing the network text, defaults, bounds, error messages, saved metadata, help,
docs/layers.md and the generated bad-input tests are all made from these declarations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any

from denet.kind import Flag, Kind

REQUIRED: Any = object()  # the default of what must be given


@dataclass(frozen=True)
class Declaration:
    """What is known of one field. Its ``role`` says where its value comes from:

    argument  a place between the brackets; with ``axes`` one value stands for all axes, and the
              tag X gives each axis its own place
    tag       a letter after the symbol, which turns the default around
    option    a command-line option, kept with the layer: activation, border_mode or weight_init
    setting   a default that only a model file or model-modify changes
    """

    role: str
    kind: Kind
    help: str
    default: Any = REQUIRED
    letter: str = ""
    axes: tuple[str, ...] = ()
    axis_default: Any = REQUIRED  # of each place under X
    same_as: str = ""  # the earlier field whose value stands for None

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED

    def check(self, value: Any) -> Any:
        """Return the value in its standard form; raise ValueError if it is not allowed."""
        if value is None and self.default is None:
            return None
        if not self.axes:
            return self.kind.check(value)
        if isinstance(value, str) or not isinstance(value, Sequence):
            value = (value,) * len(self.axes)
        if len(value) != len(self.axes):
            raise ValueError(f"must have {len(self.axes)} numbers; got {list(value)}")
        return tuple(self.kind.check(part) for part in value)

    def read(self, text: str) -> Any:
        """Return the value written as ``text``: one word, or one per axis between commas."""
        if text == "none" and self.default is None:
            return None
        words = text.split(",") if self.axes else [text]
        values = [self.kind.read(word.strip()) for word in words]
        return self.check(values[0] if len(values) == 1 else values)


def argument(
    kind: Kind,
    help: str,
    default: Any = REQUIRED,
    axes: tuple[str, ...] = (),
    axis_default: Any = REQUIRED,
    same_as: str = "",
) -> Any:
    """Declare a place between the brackets; without a default it must be given."""
    if axes and default not in (REQUIRED, None):
        default = (default,) * len(axes)
    return declared(Declaration("argument", kind, help, default, "", axes, axis_default, same_as))


def tag(letter: str, help: str, default: bool = False) -> Any:
    """Declare a yes-or-no field whose default the letter turns around."""
    return declared(Declaration("tag", Flag(), help, default, letter))


def option(kind: Kind, help: str, default: Any) -> Any:
    """Declare a field that takes the command-line option of its name."""
    return declared(Declaration("option", kind, help, default))


def setting(kind: Kind, help: str, default: Any) -> Any:
    """Declare a field that the text does not carry."""
    return declared(Declaration("setting", kind, help, default))


def declared(declaration: Declaration) -> Any:
    """Return the dataclass field of a declaration."""
    default = MISSING if declaration.required else declaration.default
    return field(default=default, metadata={"declaration": declaration})
