"""Batch normalisation against its definition and at the edge of float32."""

import numpy as np
import pytest
from tolerance import assert_close

from denet.graph.op.base import Run
from denet.graph.op.batch_norm import BatchNorm


def parameters(channels, dtype=np.float64):
    """Return gamma, beta, running mean, running variance, all unlike."""
    steps = np.arange(channels, dtype=dtype)
    return steps + 2, steps - 1, steps * 3, steps + 0.5


def test_by_hand():
    x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)  # mean 2, biased variance 1
    gamma, beta, eps = np.array([10.0]), np.array([5.0]), 3.0
    unused = np.array([np.nan])
    (y, mean, variance), _ = BatchNorm(eps).forward(Run(True), x, gamma, beta, unused, unused)
    assert y.reshape(-1).tolist() == [0.0, 10.0]  # 5 -+ 10 / sqrt(1 + 3)
    assert (mean.item(), variance.item()) == (2.0, 1.0)


def test_training_normalises_each_channel():
    x = np.random.default_rng(0).standard_normal((4, 5, 6, 3)) * [1, 5, 0.2] + [3, 0, -7]
    ones, zeros = np.ones(3), np.zeros(3)
    (y, mean, variance), _ = BatchNorm(1e-9).forward(Run(True), x, ones, zeros, zeros, ones)
    assert_close(mean, x.mean(axis=(0, 1, 2)), "f64")
    assert_close(variance, x.var(axis=(0, 1, 2)), "f64")
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-6)


def test_prediction_uses_the_running_statistics_and_eps_once():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 4))
    gamma, beta, mean, variance = parameters(4)
    op = BatchNorm(0.25)
    outputs, _ = op.forward(Run(False), x, gamma, beta, mean, variance)
    assert_close(outputs[0], gamma * (x - mean) / np.sqrt(variance + 0.25) + beta, "f64")
    assert (outputs[1] == mean).all() and (outputs[2] == variance).all()


@pytest.mark.parametrize("training", [True, False])
def test_fused_relu_cuts_below_zero(training):
    x = np.random.default_rng(0).standard_normal((3, 4, 4, 5))
    plain = BatchNorm(1e-5).forward(Run(training), x, *parameters(5))[0][0]
    fused = BatchNorm(1e-5, "relu").forward(Run(training), x, *parameters(5))[0][0]
    assert (plain < 0).any() and (fused == plain.clip(min=0)).all()


def test_float32_statistics_of_a_large_batch_far_from_zero():
    """2^17 values about 1000: a plain running sum in float32 would lose the variance."""
    x = np.random.default_rng(0).standard_normal((32, 64, 64, 2), np.float32) + np.float32(1000)
    single = [one.astype(np.float32) for one in parameters(2)]
    (_, mean, variance), _ = BatchNorm(1e-5).forward(Run(True), x, *single)
    double = x.astype(np.float64)
    np.testing.assert_allclose(mean, double.mean(axis=(0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(variance, double.var(axis=(0, 1, 2)), rtol=1e-5)


def test_gradient_is_blind_to_shift_and_scale_of_a_channel():
    """The output does not change with x + a or x * a, so sum gx = 0 and sum gx x = 0."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 4, 5, 5, 3))
    op, (gamma, beta, *running) = BatchNorm(0.0), parameters(3)
    outputs, saved = op.forward(Run(True), x, gamma, beta, *running)
    read = (x, gamma, None, None, None)
    gx = op.backward(Run(True), read, (None, None, None), saved, (g, None, None))[0]
    np.testing.assert_allclose(gx.sum(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose((gx * x).sum(axis=(0, 1, 2)), 0, atol=1e-12)
