"""What a residual block computes, on numbers worked out by hand."""

import numpy as np
import pytest

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DescriptionError
from denet.graph.graph import Graph
from denet.graph.plan import Plan
from denet.model.desc import build_layers, parse_desc

PLAIN = {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1 - 1e-5}  # changes nothing


def computed(text: str, x: np.ndarray, **weights: float) -> np.ndarray:
    """Return what a block makes of a map (h, w, c); convolutions have this weight everywhere."""
    (layer,) = build_layers(parse_desc(text))
    graph = Graph(1, 1)
    graph.output("y", layer.build(graph, graph.input("x", (1, *x.shape), "real")))
    plan = Plan(graph, NumpyBackend(), "predict")
    tensors = graph.parameters | graph.states
    numbers = {
        path: PLAIN.get(path.rpartition(".")[2], weights.get(path.partition(".")[0], 0.0))
        for path in tensors
    }
    plan.load({path: np.full(tensors[path].shape, numbers[path], np.float32) for path in tensors})
    return plan.run({"x": x[None].astype(np.float32)})["y"][0]


def test_a_shortcut_of_zeros():
    """Each second pixel, between one channel of zeros before and two behind."""
    x = np.arange(1, 31).reshape(3, 5, 2)
    y = computed("RSN.OZ[5,3,2]", x)  # its convolutions give 0
    assert y.shape == (2, 3, 5)
    assert y[..., [0, 3, 4]].max() == 0
    assert y[..., 1].tolist() == [[1, 5, 9], [21, 25, 29]]
    assert y[..., 2].tolist() == [[2, 6, 10], [22, 26, 30]]


def test_a_shortcut_of_zeros_where_nothing_changes_is_the_map():
    x = np.arange(18).reshape(3, 3, 2)
    assert np.array_equal(computed("RSN.OZ[2,3]", x), x)
    assert np.array_equal(computed("RSN.Z[2,3]", x), x)


def test_a_shortcut_of_zeros_takes_no_channels_away():
    with pytest.raises(DescriptionError, match="cannot make 2 channels 1: leave the tag Z out"):
        computed("RSN.OZ[1,3]", np.ones((3, 3, 2)))


def test_the_stride_of_a_bottleneck():
    """Windows of 3x3 ones over a map of ones, 4x4 (S), or over each second pixel of it."""
    ones, weights = np.ones((4, 4, 1)), {"conv1": 1.0, "conv2": 1.0, "conv3": 1.0}
    assert computed("RSN.OS[1,3,2,1]", ones, **weights)[..., 0].tolist() == [[4, 6], [6, 9]]
    assert computed("RSN.O[1,3,2,1]", ones, **weights)[..., 0].tolist() == [[4, 4], [4, 4]]


def test_without_a_bottleneck_there_is_no_stride_to_move():
    for text in ("RSN.OS[4,3,2]", "nRSN.S[2,4,3]"):
        with pytest.raises(DescriptionError, match="the tag S needs a bottleneck"):
            parse_desc(text)
