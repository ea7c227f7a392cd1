"""The starts of weights: numbers by hand, and the spread of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from denet.layer.initialise import weight_initial

SHAPE = (64, 16, 3, 5)  # 960 numbers per window by output channel, 240 by input channel

STARTS = [
    ("he-forward", "normal", 0.0912870929175277),  # sqrt(2 / 240)
    ("he-backward", "normal", 0.0456435464587638),  # sqrt(2 / 960)
    ("xavier-forward", "normal", 0.0645497224367903),  # sqrt(1 / 240)
    ("xavier-backward", "normal", 0.0322748612183951),  # sqrt(1 / 960)
    ("uniform,he-forward", "uniform", 0.0912870929175277),
    ("xavier-backward-uniform", "uniform", 0.0322748612183951),
    ("uniform-xavier-forward", "uniform", 0.0645497224367903),
    ("ccv", "uniform", 0.0811107105653813),  # sqrt(2 / (240 + 64))
    ("uniform,ccv", "uniform", 0.0811107105653813),
    ("0.05", "normal", 0.05),
    (0.05, "normal", 0.05),
    ("uniform,0.05", "uniform", 0.05),
    ("1e-3", "normal", 0.001),
    ("0", "constant", 0.0),
    (0, "constant", 0.0),
    ("uniform,0", "constant", 0.0),
]


@pytest.mark.parametrize(("scheme", "kind", "spread"), STARTS)
def test_start_of_weights(scheme, kind, spread):
    initial = weight_initial(scheme, SHAPE)
    assert initial.kind == kind
    assert initial.spread == pytest.approx(spread, rel=1e-12)
    drawn = initial.sample(SHAPE, np.random.default_rng(0))
    assert (drawn.dtype, drawn.shape) == (np.float32, SHAPE)
    std = {"normal": spread, "uniform": spread / 3**0.5, "constant": 0.0}[kind]
    assert drawn.std() == pytest.approx(std, rel=0.02)
    if kind != "normal":
        assert np.abs(drawn).max() <= spread
