"""How a parameter or a state starts: a distribution, drawn with a given generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Initial:
    """``constant`` (spread = value), ``normal`` (spread = std) or ``uniform`` on +-spread."""

    kind: str
    spread: float

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return a new float32 array of this shape."""
        if self.kind == "constant":
            return np.full(shape, self.spread, np.float32)
        if self.kind == "normal":
            return (rng.standard_normal(shape) * self.spread).astype(np.float32)
        assert self.kind == "uniform", self.kind
        return rng.uniform(-self.spread, self.spread, shape).astype(np.float32)


def constant(value: float) -> Initial:
    """Return a start where every element is ``value``."""
    return Initial("constant", value)
