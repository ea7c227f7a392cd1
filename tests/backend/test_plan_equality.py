"""Whole plans on fast backends against those on NumPy, whose results test_plan.py proves."""

import numpy as np
import pytest
from backend.backends import each_backend
from graph.networks import batch_of, residual_network, start_values
from tolerance import assert_close

from denet.backend.numpy.backend import NumpyBackend
from denet.graph.plan import Plan
from denet.graph.share_statistics import share_statistics

KEYS = np.arange(4, dtype=np.uint64) + 11
NETWORK_TOLERANCE = {"f32": 1e-4, "bf16": 0.2}  # of ten layers, one behind the other


def run(backend, mode, precision="f32", split=False, **settings):
    """Return the results of one step, and the plan."""
    graph = residual_network(split=split)
    if settings.pop("shared", False):
        graph = share_statistics(graph, np.copy)
    plan = Plan(graph, backend, mode, precision, **settings)
    plan.load(start_values(graph))
    results = plan.run(batch_of(graph), KEYS)
    return {name: array.copy() for name, array in results.items()}, plan


def gradients(plan):
    return plan.unpack(plan.gradients)


@each_backend
@pytest.mark.parametrize("split, shared", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_training_step_equals_numpy(backend, precision, split, shared):
    costs, plan = run(backend, "train", precision, split, shared=shared)
    expected_costs, expected = run(NumpyBackend(), "train", shared=shared)
    limit = NETWORK_TOLERANCE[precision]
    np.testing.assert_allclose(costs["cost"], expected_costs["cost"], rtol=limit / 5)
    for name, wanted in gradients(expected).items():
        error = np.linalg.norm(gradients(plan)[name] - wanted) / np.linalg.norm(wanted)
        assert error < limit, name
    for name, value in plan.values().items():
        if name.endswith(("mean", "variance")):
            assert_close(value, expected.values()[name], precision)


@each_backend
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_prediction_equals_numpy(backend, precision):
    results, _ = run(backend, "predict", precision)
    expected, _ = run(NumpyBackend(), "predict")
    for name, array in results.items():
        np.testing.assert_allclose(array, expected[name], atol=NETWORK_TOLERANCE[precision] / 5)


@each_backend
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_loading_and_reading_back_changes_no_parameter(backend, precision):
    graph = residual_network()
    values = start_values(graph)
    plan = Plan(graph, backend, "train", precision)
    plan.load(values)
    for name, value in plan.values().items():
        assert (value == values[name]).all(), name
