"""Activations, class probabilities and the cost against SciPy and values worked by hand."""

import math

import numpy as np
import pytest
from scipy import special
from tolerance import assert_close

from denet.graph.op.activation import ACTIVATIONS, Activation
from denet.graph.op.base import Run
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy

TRAINING = Run(training=True)

TRUTH = {
    "sigmoid": special.expit,
    "relu": lambda x: x.clip(min=0),
    "relu-safe": lambda x: x.clip(min=0),
    "elu": lambda x: np.where(x > 0, x, special.expm1(x.clip(max=0))),
    "tanh": lambda x: (special.exp2(0) - np.exp(-2 * x)) / (1 + np.exp(-2 * x)),
    "softmax": lambda x: special.softmax(x, axis=-1),
    "softplus": lambda x: -special.log_expit(-x),
    "leaky-relu": lambda x: np.where(x > 0, x, x / 100),
}


def as_map(values, dtype=np.float64):
    """Return a (1, 1, 1, c) map."""
    return np.array(values, dtype).reshape(1, 1, 1, -1)


def activate(kind, x):
    return Activation(kind).forward(TRAINING, x)[0][0]


def slope(kind, x):
    y = activate(kind, x)
    return Activation(kind).backward(TRAINING, (None,), (y,), (), (np.ones_like(x),))[0]


def cost(logits, index, smoothing=0.0):
    """Return the cost and its gradient by the logits."""
    op = SoftmaxCrossEntropy(smoothing)
    inputs = logits, np.array(index, np.int32)
    outputs, saved = op.forward(TRAINING, *inputs)
    one = np.ones((), logits.dtype)
    return outputs[0].item(), op.backward(TRAINING, inputs, outputs, saved, (one,))[0]


def test_every_activation_has_a_truth():
    assert set(TRUTH) == set(ACTIVATIONS)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_values(kind):
    x = as_map([-8, -2.5, -1, -1e-3, 0, 1e-3, 0.5, 1, 3, 8])
    assert_close(activate(kind, x), TRUTH[kind](x), "f64")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_far_from_zero_nothing_overflows(kind, dtype):
    x = as_map([-1e4, -200, 200, 1e4], dtype)  # warnings are errors here
    assert np.isfinite(activate(kind, x)).all() and np.isfinite(slope(kind, x)).all()


def test_sigmoid_and_softplus_keep_their_digits_far_below_zero():
    x = as_map([-30], np.float32)
    for kind in ("sigmoid", "softplus"):
        np.testing.assert_allclose(activate(kind, x), math.exp(-30), rtol=1e-6)
        np.testing.assert_allclose(slope(kind, x), math.exp(-30), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "at_zero"),
    [
        ("relu", 0),
        ("relu-safe", 0),
        ("leaky-relu", 0.01),
        ("elu", 1),
        ("tanh", 1),
        ("sigmoid", 0.25),
        ("softplus", 0.5),
    ],
)
def test_slope_at_zero(kind, at_zero):
    assert_close(slope(kind, as_map([0.0])), as_map([at_zero]), "f64")


def test_cost_of_indifference_is_the_logarithm_of_the_classes():
    value, gradient = cost(np.zeros((2, 1, 1, 4)), [1, 3])
    assert value == pytest.approx(math.log(4), rel=1e-15)
    assert gradient[0].reshape(-1).tolist() == [0.125, -0.375, 0.125, 0.125]


def test_cost_by_hand():
    """softmax of (log 1, log 2, log 5) is (1, 2, 5) / 8."""
    logits = np.log(as_map([1, 2, 5]))
    value, gradient = cost(logits, [2])
    assert value == pytest.approx(math.log(8 / 5), rel=1e-14)
    np.testing.assert_allclose(gradient.reshape(-1), [1 / 8, 2 / 8, -3 / 8], rtol=1e-14)


def test_smoothed_cost_by_hand():
    """With s = 0.3 and 3 classes the target is (0.1, 0.1, 0.8)."""
    value, gradient = cost(np.log(as_map([1, 2, 5])), [2], smoothing=0.3)
    expected = 0.1 * math.log(8) + 0.1 * math.log(8 / 2) + 0.8 * math.log(8 / 5)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(gradient.reshape(-1), [0.025, 0.15, -0.175], rtol=1e-12)


def test_cost_of_a_map_is_the_mean_over_samples_and_positions():
    logits = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    log_probability = special.log_softmax(logits, axis=3)
    expected = -(log_probability[0, :, :, 4].sum() + log_probability[1, :, :, 2].sum()) / 24
    assert cost(logits, [4, 2])[0] == pytest.approx(expected, rel=1e-14)


def test_cost_of_huge_logits_is_finite():
    value, gradient = cost(as_map([-1e4, 0, 1e4], np.float32), [0])
    assert value == 2e4
    assert gradient.reshape(-1).tolist() == [-1, 0, 1]


def test_class_probability_is_the_mean_of_the_positions():
    logits = np.log(np.array([[[[1, 3], [1, 1]]]], np.float64))  # (1/4, 3/4) and (1/2, 1/2)
    (y,), _ = ClassProbability().forward(Run(training=False), logits)
    np.testing.assert_allclose(y, [[0.375, 0.625]], rtol=1e-15)
