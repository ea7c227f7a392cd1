"""All ops, found by importing every module of this package."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import is_dataclass
from functools import cache

import denet.graph.op
from denet.graph.op.base import Op


@cache
def op_types() -> dict[str, type[Op]]:
    """Return every op class by its name, in alphabetical order of the modules."""
    types: dict[str, type[Op]] = {}
    for module_info in pkgutil.iter_modules(denet.graph.op.__path__, "denet.graph.op."):
        module = importlib.import_module(module_info.name)
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, Op) and is_dataclass(value):
                assert types.setdefault(name, value) is value, f"two ops are called {name}"
    return types
