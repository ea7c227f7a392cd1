"""What a layer is: declared fields, and the ops it adds to a graph. A layer holds no arrays."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from denet.detect.box import BOX_CAPACITY
from denet.errors import DescriptionError, nearest_hint
from denet.graph.graph import Graph, Tensor
from denet.layer.declare import Declaration
from denet.retired import instead


@dataclass(kw_only=True)
class Layer:
    """Base of all layers: a dataclass whose fields are made by the functions of declare.py.

    A layer of the network has a ``type_name``. One with a ``symbol`` can be written in the
    network text; one with a symbol alone is a shorthand that expands into layers with types.
    """

    symbol: ClassVar[str] = ""
    type_name: ClassVar[str] = ""
    last: ClassVar[str] = ""  # why no layer may follow, where none may

    def __post_init__(self) -> None:
        for name, declaration in declarations(type(self)).items():
            value = getattr(self, name)
            if value is None and declaration.same_as:
                value = getattr(self, declaration.same_as)
            try:
                setattr(self, name, declaration.check(value))
            except ValueError as error:
                raise self.error(f"{name} {error}") from None

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        """Add the ops of this layer to the graph and return its output map (n, h, w, c)."""
        raise AssertionError(f"{type(self).__name__} has no build")

    def expand(self) -> list[Layer]:
        """Return the layers of the network that this one stands for."""
        return [self]

    @classmethod
    def collapse(cls, layers: Sequence[Layer]) -> tuple[Layer, int] | None:
        """Return (shorthand, n) if it stands for the first n of these layers: expand undone."""
        return None

    def fields(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        values = {name: getattr(self, name) for name in declarations(type(self))}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Layer:
        """Return the layer with these field values; fields left out take their defaults."""
        known = declarations(cls)
        for name in values:
            if name not in known:
                raise unknown_field(cls, name)
        for name, declaration in known.items():
            if name not in values and declaration.required:
                raise DescriptionError(f"{cls.title()}: the field {name!r} is missing")
        return cls(**values)

    def modified(self, name: str, text: str) -> Layer:
        """Return a copy with the field ``name`` read from ``text`` (--modify-layer name=text)."""
        known = declarations(type(self))
        if name not in known:
            raise unknown_field(type(self), name)
        try:
            return replace(self, **{name: known[name].read(text)})
        except ValueError as error:
            raise self.error(f"{name} {error}") from None

    @classmethod
    def title(cls) -> str:
        """Return the name of the layer in messages."""
        return cls.type_name or cls.symbol

    @classmethod
    def error(cls, message: str) -> DescriptionError:
        """Return the error that tells which type of layer does not fit."""
        return DescriptionError(f"{cls.title()}: {message}")


def declarations(layer_type: type[Layer]) -> dict[str, Declaration]:
    """Return the declarations of a layer type by field name, in the order they are written."""
    return {field.name: field.metadata["declaration"] for field in fields(layer_type)}


def unknown_field(layer_type: type[Layer], name: str) -> DescriptionError:
    """Return the error for a field name that the layer type does not have."""
    known = list(declarations(layer_type))
    listed = ", ".join(known) if known else "none"
    hint = f": {text}" if (text := instead(name)) else nearest_hint(name, known)
    return layer_type.error(f"unknown field {name!r} (known: {listed}){hint}")


def true_boxes(graph: Graph, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return the inputs box (n, BOX_CAPACITY, 4) and box class (n, BOX_CAPACITY), -1 for none."""
    return (
        graph.input("box", (batch_size, BOX_CAPACITY, 4), "float32"),
        graph.input("box_class", (batch_size, BOX_CAPACITY), "int32"),
    )


def salt(graph: Graph) -> int:
    """Return a number of the open scopes, so that each random layer draws differently."""
    return zlib.crc32(graph.path("").encode())
