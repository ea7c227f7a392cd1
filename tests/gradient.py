"""Gradients against central differences along random directions, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tolerance import TOLERANCE

STEP = 1e-5  # truncation and rounding errors are both near 1e-10 of the values


def assert_directional_gradient(
    function: Callable[..., float],
    inputs: Sequence[np.ndarray],
    index: int,
    gradient: np.ndarray,
    seed: int = 0,
    directions: int = 3,
) -> None:
    """Assert that ``gradient`` is that of function(*inputs) by inputs[index].

    ``function`` must be smooth within ``STEP`` of the inputs. A direction has unit length per
    element, so that every element weighs the same.
    """
    assert gradient.shape == inputs[index].shape, (gradient.shape, inputs[index].shape)
    rng = np.random.default_rng(seed)
    for _ in range(directions):
        direction = rng.standard_normal(gradient.shape)
        moved = list(inputs)
        moved[index] = inputs[index] + STEP * direction
        above = function(*moved)
        moved[index] = inputs[index] - STEP * direction
        slope = (above - function(*moved)) / (2 * STEP)
        scale = np.sqrt((gradient**2).sum()) + 1e-3  # the size that the slope has on average
        assert abs((gradient * direction).sum() - slope) <= TOLERANCE["differences"] * scale
