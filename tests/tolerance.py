"""Assertions by the project's one table of tolerances."""

from __future__ import annotations

import numpy as np

from denet.tolerance import TOLERANCE


def assert_close(actual: np.ndarray, expected: np.ndarray, precision: str) -> None:
    """Assert equal shapes and |actual - expected| <= tolerance * max |expected|."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    limit = TOLERANCE[precision] * np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit, strict=True)
