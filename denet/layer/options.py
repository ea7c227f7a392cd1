"""The command-line options that layers take up where the network text says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from denet.errors import UsageError
from denet.kind import Kind
from denet.layer.activation import ACTIVATION
from denet.layer.border_mode import BorderMode
from denet.layer.initialise import DEFAULT, WeightScheme

KINDS: dict[str, Kind] = {
    "activation": ACTIVATION,
    "border_mode": BorderMode(),
    "weight_init": WeightScheme(),
}


@dataclass(frozen=True)
class LayerOptions:
    """--activation, --border-mode and --weight-init (one scheme per token, the last repeats)."""

    activation: str = "relu"
    border_mode: str | int = "valid"
    weight_init: Sequence[str | float] = (DEFAULT,)

    def __post_init__(self) -> None:
        schemes = self.weight_init or (DEFAULT,)
        if isinstance(schemes, str):
            schemes = (schemes,)
        checked = tuple(check("weight_init", scheme) for scheme in schemes)
        object.__setattr__(self, "activation", check("activation", self.activation))
        object.__setattr__(self, "border_mode", check("border_mode", self.border_mode))
        object.__setattr__(self, "weight_init", checked)

    def value(self, name: str, token: int) -> object:
        """Return what the layer of this token (counted from 0) takes for the option ``name``."""
        if name == "weight_init":
            return self.weight_init[min(token, len(self.weight_init) - 1)]
        return getattr(self, name)


def check(name: str, value: Any) -> Any:
    """Return a value of the option ``name`` in its standard form; raise UsageError."""
    try:
        return KINDS[name].check(value)
    except ValueError as error:
        raise UsageError(f"--{name.replace('_', '-')} {error}") from None
