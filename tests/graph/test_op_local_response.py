"""Local response normalisation by hand, and against the sum over neighbours written out."""

from __future__ import annotations

import numpy as np
import pytest
from graph.cases import LOCAL_RESPONSES
from tolerance import assert_close

from denet.graph.op.base import Run
from denet.graph.op.local_response import LocalResponse

PREDICTION = Run(training=False)


def test_one_cell_by_hand():
    """kappa 1, alpha 1, beta 1, size 3: of 1, 2, 3 the sums are 5, 14, 13."""
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    ((y,), _) = LocalResponse(3, 1, 1, 1).forward(PREDICTION, x)
    np.testing.assert_allclose(y.ravel(), [1 / 6, 2 / 15, 3 / 14])
    ((y,), _) = LocalResponse(3, 1, 1, 1, groups=3).forward(PREDICTION, x)
    np.testing.assert_allclose(y.ravel(), [1 / 2, 2 / 5, 3 / 10])


@pytest.mark.parametrize("case", LOCAL_RESPONSES, ids=lambda case: case.name)
def test_each_channel_sees_its_neighbours(case):
    (x,), op = case.inputs(), case.op
    ((y,), _) = op.forward(PREDICTION, x)
    channels, group = x.shape[3], x.shape[3] // op.groups
    for c in range(channels):
        seen = [
            k for k in range(channels) if abs(k - c) <= op.size // 2 and k // group == c // group
        ]
        divisor = op.kappa + op.alpha * sum(x[..., k] ** 2 for k in seen)
        assert_close(y[..., c], x[..., c] / divisor**op.beta, "f64")


@pytest.mark.parametrize("groups", [2, 3])
def test_groups_are_maps_of_their_own(groups):
    x = np.random.default_rng(1).standard_normal((2, 3, 2, 6 * groups))
    ((y,), _) = LocalResponse(5, 2, 0.5, groups=groups).forward(PREDICTION, x)
    parts = [
        LocalResponse(5, 2, 0.5).forward(PREDICTION, part)[0][0] for part in np.split(x, groups, 3)
    ]
    np.testing.assert_array_equal(y, np.concatenate(parts, axis=3))
