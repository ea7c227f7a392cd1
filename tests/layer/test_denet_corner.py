"""DNC and DNS: what they add to a graph, how they start, what does not fit."""

import numpy as np
import pytest

from denet.backend.numpy.backend import NumpyBackend
from denet.backend.onednn.library import OneDnnUnavailable
from denet.detect.box import BOX_CAPACITY
from denet.errors import DescriptionError
from denet.graph.graph import Graph
from denet.graph.op.base import Run
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.corner_target import CornerTarget
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model.desc import build_layers, parse_desc
from denet.model.model import Model

try:
    from denet.backend.onednn.backend import OneDnnBackend

    BACKENDS = [NumpyBackend(), OneDnnBackend()]
except OneDnnUnavailable:  # no wheel for this machine
    BACKENDS = [NumpyBackend()]


def build(text: str) -> Graph:
    """Return the graph of a network text on two maps of 8 x 6 cells, each layer in its scope."""
    graph = Graph(2, 3)
    x = graph.input("data", (2, 8, 6, 3), "real")
    for number, layer in enumerate(build_layers(parse_desc(text), LayerOptions()), 1):
        with graph.scope(f"{number}.{layer.type_name}"):
            x = layer.build(graph, x)
    graph.output("last", x)
    return graph


def op(graph, kind):
    (found,) = [node.op for node in graph.nodes if isinstance(node.op, kind)]
    return found


@pytest.mark.parametrize(("text", "corner_num"), [("DNC[7]", 4), ("DNC.C[7]", 5)])
def test_corners_start_unlikely_and_their_logits_are_float32(text, corner_num):
    graph = build(text)
    corner = graph.marks["corner"]
    assert corner.shape == (2, 8, 6, corner_num) and corner.type.dtype == "float32"
    assert graph.outputs["last"].shape == (2, 8, 6, 7)
    start = {
        name: tensor.initial.sample(tensor.shape, np.random.default_rng(0))
        for name, tensor in graph.parameters.items()
    }
    assert (start["1.denet-corner.corner.weight"] == 0).all()
    assert (start["1.denet-corner.corner.bias"] == 5).all()  # P = sigmoid(-10)
    assert start["1.denet-corner.sample.weight"].any()
    assert (start["1.denet-corner.sample.bias"] == 0).all()
    assert [cost.name for cost in graph.costs] == ["1.denet-corner.corner"]
    assert graph.inputs["box"].shape == (2, BOX_CAPACITY, 4)
    assert graph.inputs["box_class"].type.dtype == "int32"


def test_arguments_reach_the_ops():
    graph = build("DNC[7,100,0.25] DNS[5,3,0.02,0.2,1,0.7]")
    cost, search = op(graph, CornerCrossEntropy), op(graph, CornerSearch)
    assert (cost.factor, cost.dropout) == (100, 0.25)
    assert (search.sample_num, search.corner_threshold, search.random_sample) == (3, 0.02, 0.2)
    assert (search.local_max, search.nms_threshold, search.corner_max) == (1, 0.7, 1024)
    assert cost.salt != search.salt
    assert graph.outputs["last"].shape == (2, 3, 3, 5 * 5 * 7 + 2)
    assert graph.marks["sample"].shape == (2, 9, 4)
    default = op(build("DNC DNS"), CornerSearch)
    assert (default.sample_num, default.corner_threshold, default.random_sample) == (4, 0.01, 0.1)
    assert (default.local_max, default.nms_threshold) == (0, 1.0)
    assert not default.distinct_in_prediction
    assert op(build("DNC DNS.P[3,4,0.01,0.1,1]"), CornerSearch).distinct_in_prediction


def test_a_tag_that_is_about_nothing():
    for text in ("DNS.P", "DNS.P[3,4,0.01,0.1,0,1]"):
        with pytest.raises(DescriptionError, match="tag P: without local_max and nms_threshold"):
            build(f"DNC {text}")
    assert op(build("DNC DNS.P[3,4,0.01,0.1,0,0.9]"), CornerSearch).distinct_in_prediction


def test_targets_are_built_once():
    graph = build("DNC[7] DNS")
    target = op(graph, CornerTarget)
    assert (target.height, target.width, target.corner_num) == (8, 6, 4)


def test_the_tag_g_keeps_true_boxes_out():
    kinds = [type(node.op) for text in ("DNC DNS", "DNC DNS.G") for node in build(text).nodes]
    assert kinds.count(InjectGroundTruth) == 1


def test_model_modify_reaches_the_search():
    layer = build_layers(parse_desc("DNS"), LayerOptions())[0]
    changed = layer.modified("sample_num", "36").modified("corner_max", "64")
    assert (changed.sample_num, changed.corner_max) == (36, 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [("DNS", "no DNC stands before it"), ("DNC DNC", "a network has one DNC")],
)
def test_networks_that_do_not_fit(text, message):
    with pytest.raises(DescriptionError, match=message):
        build(text)


def test_recomputed_segments_sample_the_same_boxes():
    """With SPLIT around DNC and DNS the search runs twice a step: the gradients stay the same."""
    text = "C[8,3,2] A SPLIT DNC.C[6,2,0.2] DNS[3,4] SPLIT C[16] A DND[0.3,1,1]"
    rng = np.random.default_rng(0)
    box = np.tile(np.float32([0.25, 0.25, 0.75, 1]), (2, BOX_CAPACITY, 1))
    batch = {
        "data": rng.random((2, 24, 24, 3)).astype(np.float32),
        "box": box,
        "box_class": np.where(np.arange(BOX_CAPACITY) < 2, 1, [[-1]] * 2).astype(np.int32),
    }
    gradients = []
    for enabled in ("true", "false"):
        model = Model.create(text, (3, 24, 24), ["a", "b"], LayerOptions(border_mode="half"))
        model.layers = [
            layer.modified("enabled", enabled) if layer.type_name == "split" else layer
            for layer in model.layers
        ]
        values = {
            name: np.random.default_rng(7).normal(0, 0.3, value.shape).astype(np.float32)
            for name, value in model.values().items()
        }
        plan = Plan(model.graph(2), NumpyBackend(), "train")
        plan.load(values)
        plan.run(batch, np.array([3, 4], np.uint64))
        gradients.append(plan.unpack(plan.gradients))
    assert all(gradient.any() for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        assert (gradient == gradients[1][name]).all(), name


def overlaps(one: np.ndarray, other: np.ndarray) -> bool:
    """Say whether two boxes have an IoU above 0.5."""
    x0, y0 = np.maximum(one[:2], other[:2])
    x1, y1 = np.minimum(one[2:], other[2:])
    shared = max(x1 - x0, 0) * max(y1 - y0, 0)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other)]
    return bool(shared > 0.5 * (sum(areas) - shared))


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("cut", ["", "SPLIT "])
@pytest.mark.parametrize("text", ["DNS[3,4]", "DNS.G[3,4]"])
def test_coverage_is_that_of_the_samples_before_the_true_boxes_join(text, cut, backend):
    text = f"C[8,3,2] A {cut}DNC[6,2] {text} {cut}C[16] A DND[0.3,1,1]"
    rng = np.random.default_rng(0)
    low = rng.random((2, BOX_CAPACITY, 2)) / 2
    box = np.concatenate([low, low + rng.uniform(0.1, 0.5, low.shape)], axis=-1).astype(np.float32)
    box_class = np.where(np.arange(BOX_CAPACITY) < 40, 1, [[-1]] * 2).astype(np.int32)
    batch = {"data": np.zeros((2, 24, 24, 3), np.float32), "box": box, "box_class": box_class}
    model = Model.create(text, (3, 24, 24), ["a", "b"], LayerOptions(border_mode="half"))
    graph = model.graph(2)
    search = op(graph, CornerSearch)
    # of corners that all are alike: the samples are those of the search alone
    logits = np.full((2, 12, 12, 4), 5, np.float32)
    keys = np.array([3, 4], np.uint64)
    (sample, _), _ = search.forward(Run(True, keys), logits)
    covered = sum(
        any(overlaps(each, one) for one in sample[image])
        for image in range(2)
        for each in box[image, :40]
    )
    assert 0 < covered < 80
    plan = Plan(graph, backend, "train")
    plan.load(model.values())
    plan.run(batch, keys)
    assert plan.ratios["sample_coverage"].tolist() == [covered, 80]
    batch["box_class"][:] = -1
    plan.run(batch, keys)
    assert plan.ratios["sample_coverage"].tolist() == [0, 0]
    assert Plan(graph, backend, "predict").ratios == {}
