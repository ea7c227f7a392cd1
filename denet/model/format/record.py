"""Checked access to one JSON object of a model file."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.errors import DataError
from denet.kind import Kind
from denet.model.desc import MAX_LAYERS
from denet.model.format.npy import decode_array

SHOWN_LENGTH = 400  # characters of a fault that may repeat what the file holds
_REQUIRED: Any = object()


class Record:
    """A JSON object and where it stands; a missing or odd value is a DataError naming both."""

    def __init__(self, value: Any, where: str):
        self.where = where
        if not isinstance(value, dict):
            raise self.fault(f"{type(value).__name__} where an object should be")
        self.values: dict[str, Any] = value

    def fault(self, what: str) -> DataError:
        """Return the error that says ``what`` is wrong here."""
        return DataError(f"damaged model file: {self.where}: {what:.{SHOWN_LENGTH}}")

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return any value; an absent or null one gives ``default``, if there is one."""
        if key in self:
            return self.values[key]
        if default is _REQUIRED:
            raise self.fault(f"no {key!r}")
        return default

    def _typed(self, key: str, default: Any, kinds: tuple[type, ...], name: str) -> Any:
        value = self.get(key, default)
        if value is not default and type(value) not in kinds:
            raise self.fault(f"{key!r} is not {name}")
        return value

    def checked(self, key: str, kind: Kind, default: Any = _REQUIRED) -> Any:
        """Return a value that a kind of option takes."""
        value = self.get(key, default)
        try:
            return value if value is default else kind.check(value)
        except ValueError as error:
            raise self.fault(f"{key!r} {error}") from None

    def integer(self, key: str, default: Any = _REQUIRED) -> int:
        """Return a whole number."""
        value: int = self._typed(key, default, (int,), "a whole number")
        return value

    def number(self, key: str, default: Any = _REQUIRED) -> float:
        """Return a number."""
        return float(self._typed(key, default, (int, float), "a number"))

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """Return a truth value; 0 and 1 count."""
        value = self.get(key, default)
        if value not in (False, True):
            raise self.fault(f"{key!r} is not true or false")
        return bool(value)

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """Return a string."""
        value: str = self._typed(key, default, (str,), "text")
        return value

    def integers(
        self, key: str, length: int | None = None, default: Any = _REQUIRED
    ) -> tuple[int, ...]:
        """Return ``length`` whole numbers, any number of them without it; one stands for all."""
        value = self.get(key, default)
        values = list(value) if isinstance(value, list | tuple) else [value] * (length or 1)
        if length not in (None, len(values)) or any(type(item) is not int for item in values):
            raise self.fault(f"{key!r} is not {length or 'a list of'} whole numbers")
        return tuple(values)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers; none if absent."""
        values = self._typed(key, [], (list,), "a list")
        if any(type(item) not in (int, float) for item in values):
            raise self.fault(f"{key!r} is not a list of numbers")
        return tuple(map(float, values))

    def texts(self, key: str) -> list[str]:
        """Return a list of strings."""
        values: list[str] = self._typed(key, _REQUIRED, (list,), "a list")
        if any(type(item) is not str for item in values):
            raise self.fault(f"{key!r} is not a list of texts")
        return values

    def array(self, key: str) -> np.ndarray:
        """Return an array as float32."""
        return decode_array(self.get(key), self._below(key))

    def record(self, key: str) -> Record:
        """Return the object under ``key``; an empty one if absent."""
        return Record(self.get(key, {}), self._below(key))

    def layers(self) -> list[Record]:
        """Return the objects under "layers", each with its number and type in messages."""
        values = self._typed("layers", [], (list,), "a list")
        if len(values) > MAX_LAYERS:
            raise self.fault(f"more than {MAX_LAYERS} layers")
        found = [Record(value, f"{self.where}, a layer") for value in values]
        for number, layer in enumerate(found, 1):
            layer.where = self._below(f"layer {number} ({layer.get('type', '?')})")
        return found

    def _below(self, name: str) -> str:
        """Return the place called ``name`` in this one; names come from the file."""
        return f"{self.where}, {ascii(name)[1:-1]:.80}"
