"""Every layer inside a network that trains and predicts."""

from __future__ import annotations

import numpy as np
import pytest
from layer.layer_cases import CASES, Case

from denet.backend.numpy.backend import NumpyBackend
from denet.detect.box import BOX_CAPACITY
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.layer.regression import Regression
from denet.model.desc import build_layers, parse_desc
from denet.model.model import Model

SMALL = [case for case in CASES if case.input[0] < 16 and "DND" not in case.text]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.text)
def test_layer_in_a_network(case: Case):
    """A convolution before the layer is reached by its gradient; probabilities sum to 1."""
    height, width, channels = case.input
    text = f"C[{channels}] {case.text}"
    if parse_desc(text)[-1].symbol != "R":
        text += " R"
    model = Model.create(
        text, (channels, height, width), list("0123456789"), LayerOptions(**case.options)
    )
    rng = np.random.default_rng(3)
    batch = {
        "data": rng.uniform(0.1, 1, (2, height, width, channels)).astype(np.float32),
        "class_index": np.array([3, 7], np.int32),
        "box": np.tile(np.float32([0.1, 0.2, 0.6, 0.9]), (2, BOX_CAPACITY, 1)),
        "box_class": np.zeros((2, BOX_CAPACITY), np.int32),
    }
    classes = model.parameters[-2]["weight"]
    classes[:] = rng.normal(size=classes.shape)  # R starts at 0, which stops the gradient
    train = Plan(model.graph(2), NumpyBackend(), "train")
    train.load(model.values())
    costs = train.run(batch, np.array([5, 6], np.uint64)).values()
    assert all(np.isfinite(cost) and cost > 0 for cost in costs)
    assert np.isfinite(train.gradients).all() and train.gradients.any()
    model.set_values(train.values())
    predict = Plan(model.graph(2), NumpyBackend(), "predict")
    predict.load(model.values())
    probability = predict.run(batch)["class_probability"]
    assert probability.shape == (2, 10)
    assert probability.sum(axis=1) == pytest.approx(1, rel=1e-5)


BEHIND_LOGITS = ["A", "BN", "C[2]", "DC.B[2,3]", "P.A[2]", "RSN[2,3]", "SKIPSRC C.B[2] SKIP"]


@pytest.mark.parametrize("logits", ["R[5]", "C[2,3,2]"])
@pytest.mark.parametrize("text", BEHIND_LOGITS)
def test_any_layer_may_stand_before_the_regression(text: str, logits: str):
    """model-modify can put any there; what follows float32 logits is float32 in bf16 plans too."""
    options = LayerOptions(border_mode="half")
    last = Regression()
    layers = build_layers(parse_desc(f"C[4,3] A {logits} {text}"), options)
    layers = [*(layer for layer in layers if layer != last), last]
    model = Model(layers, (3, 8, 8), ["a", "b"])
    model.initialise(seed=1)
    rng = np.random.default_rng(2)
    values = {
        name: value + rng.uniform(0.1, 0.5, value.shape).astype(np.float32)
        for name, value in model.values().items()
    }
    data = rng.standard_normal((3, 8, 8, 3)).astype(np.float32)
    batch = {"data": data, "class_index": np.array([0, 1, 1], np.int32)}
    results = []
    for precision in ("f32", "bf16"):
        for mode in ("train", "predict"):
            plan = Plan(model.graph(3), NumpyBackend(), mode, precision)
            plan.load(values)
            results += [array.copy() for array in plan.run(batch).values()]
    half = len(results) // 2
    for exact, rounded in zip(results[:half], results[half:], strict=True):
        assert exact.dtype == rounded.dtype == np.float32
        np.testing.assert_allclose(rounded, exact, rtol=0.05, atol=0.02)
