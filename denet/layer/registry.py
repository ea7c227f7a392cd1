"""All layer types, found by importing every module of this package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

import denet.layer
from denet.errors import DescriptionError, nearest_hint
from denet.layer.base import Layer


@cache
def all_layers() -> tuple[type[Layer], ...]:
    """Return every layer class, shorthands included, ordered by symbol and type name."""
    modules = [
        importlib.import_module(f"denet.layer.{module.name}")
        for module in pkgutil.iter_modules(denet.layer.__path__)
    ]
    found = [
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Layer) and each.__module__ == module.__name__
        if each is not Layer
    ]
    found.sort(key=lambda each: (each.symbol, each.type_name))
    for name in ("symbol", "type_name"):
        names = [getattr(each, name) for each in found if getattr(each, name)]
        assert len(names) == len(set(names)), f"two layers share a {name}: {sorted(names)}"
    return tuple(found)


def layer_types() -> dict[str, type[Layer]]:
    """Return {symbol: class} of the layers that the network text can hold."""
    return {each.symbol: each for each in all_layers() if each.symbol}


def type_names() -> dict[str, type[Layer]]:
    """Return {type name: class} of the layers that a model can hold."""
    return {each.type_name: each for each in all_layers() if each.type_name}


def layer_from_fields(type_name: str, values: Mapping[str, Any]) -> Layer:
    """Return the layer of this type with these field values (see Layer.fields)."""
    known = type_names()
    if type_name not in known:
        raise DescriptionError(
            f"unknown layer type {type_name!r} (known: {', '.join(known)})"
            + nearest_hint(type_name, list(known))
        )
    return known[type_name].from_fields(values)
