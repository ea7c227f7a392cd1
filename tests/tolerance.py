"""How far results may lie apart: one table for all tests.

Errors are measured against the largest magnitude of the expected array, since a sum that nearly
cancels has no digits of its own. Loosening an entry needs a reason written beside it.
"""

from __future__ import annotations

import numpy as np

TOLERANCE = {
    "f64": 1e-12,
    "f32": 2e-5,  # sums of some thousand products, in any order
    "bf16": 2e-2,  # 8 bits of mantissa, rounded at every store
    "differences": 1e-7,  # float64 central differences
}


def assert_close(actual: np.ndarray, expected: np.ndarray, precision: str) -> None:
    """Assert equal shapes and |actual - expected| <= tolerance * max |expected|."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    limit = TOLERANCE[precision] * np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit, strict=True)
