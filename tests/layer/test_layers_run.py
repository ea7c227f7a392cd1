"""Every layer inside a network that trains and predicts."""

from __future__ import annotations

import numpy as np
import pytest
from layer.layer_cases import CASES, Case

from denet.backend.numpy.backend import NumpyBackend
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model.desc import parse_desc
from denet.model.model import Model

SMALL = [case for case in CASES if case.input[0] < 16]


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
    }
    classes = model.parameters[-2]["weight"]
    classes[:] = rng.normal(size=classes.shape)  # R starts at 0, which stops the gradient
    train = Plan(model.graph(2), NumpyBackend(), "train")
    train.load(model.values())
    (cost,) = train.run(batch, np.array([5, 6], np.uint64)).values()
    assert np.isfinite(cost) and cost > 0
    assert np.isfinite(train.gradients).all() and train.gradients.any()
    model.set_values(train.values())
    predict = Plan(model.graph(2), NumpyBackend(), "predict")
    predict.load(model.values())
    probability = predict.run(batch)["class_probability"]
    assert probability.shape == (2, 10)
    assert probability.sum(axis=1) == pytest.approx(1, rel=1e-5)
