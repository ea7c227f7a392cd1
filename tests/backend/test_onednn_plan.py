"""What plans do on oneDNN alone; that they equal NumPy's is shown in test_plan_equality.py."""

import numpy as np
import pytest
from graph.networks import batch_of, residual_network
from tolerance import assert_close

from denet.backend.numpy.backend import NumpyBackend
from denet.backend.onednn.library import OneDnnUnavailable
from denet.errors import DescriptionError
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model.model import Model

try:
    from denet.backend.onednn.backend import OneDnnBackend

    BACKEND = OneDnnBackend()
except OneDnnUnavailable as reason:
    pytest.skip(str(reason), allow_module_level=True)


def test_every_hot_node_has_a_fast_kernel():
    plan = Plan(residual_network(), BACKEND, "train")
    slow = {name for name, kernel in plan.kernel_names().items() if kernel == "numpy"}
    assert slow == {"dropout", "cost"}


def model_of(text, shape=(3, 8, 8), border="half"):
    return Model.create(text, shape, ["a", "b"], LayerOptions(border_mode=border), seed=1)


def step(model, backend, n, precision, share=None, frozen=()):
    """Run one training step on n images; return the cost, the gradients and the plan."""
    graph = model.graph(n, frozen=frozen)
    plan = Plan(graph, backend, "train", precision, share)
    if share is None:
        plan.load(model.values())
    cost = next(iter(plan.run(batch_of(graph)).values()))
    return float(cost), plan.unpack(plan.gradients), plan


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_max_pooling_behind_frozen_layers(precision):
    model = model_of("C[8,3] A P[2] C[4,3] A R.T")
    ours, theirs = (step(model, b, 3, precision, frozen={1}) for b in (BACKEND, NumpyBackend()))
    assert_close(np.array(ours[0]), np.array(theirs[0]), precision)


@pytest.mark.parametrize("sizes", [(8, 1), (1, 8)])
def test_plans_that_share_weights_may_run_them_on_different_backends(sizes):
    """oneDNN serves this bf16 convolution from batch 4 on; below the reference takes over."""
    model = model_of("C.B[2,7] P.A R.T", (5, 10, 10), "full")
    first = step(model, BACKEND, sizes[0], "bf16")[2]
    cost, shared, plan = step(model, BACKEND, sizes[1], "bf16", share=first)
    alone = step(model, BACKEND, sizes[1], "bf16")
    assert_close(np.array(cost), np.array(alone[0]), "bf16")
    for name, gradient in alone[1].items():
        assert_close(shared[name], gradient, "bf16")


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("C[1,1] P.A R", 65536, "1.conv.conv: a map of one image, 65536x65536x3 numbers, takes"),
        ("C[8,1] BN P.A R", 8192, "a map of one image, 8192x8192x8 numbers, takes 2.15 GB"),
        ("C.B[1,1024,16] R", 8192, None),
    ],
)
def test_maps_of_2_gigabytes_are_refused_before_they_crash_onednn(text, size, message):
    graph = model_of(text, (3, size, size)).graph(1)
    if message is None:
        Plan(graph, BACKEND, "train")
        return
    with pytest.raises(DescriptionError, match=message):
        Plan(graph, BACKEND, "train")
