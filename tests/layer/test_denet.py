"""Detectors: what DND adds to a graph, what a training step and a prediction give."""

from __future__ import annotations

import numpy as np
import pytest
from graph.networks import evaluate

from denet.backend.numpy.backend import NumpyBackend
from denet.detect.box import BOX_CAPACITY, iou
from denet.errors import DescriptionError
from denet.graph.op.base import Run
from denet.graph.plan import Plan
from denet.layer.denet_detect import DenetDetect
from denet.layer.options import LayerOptions
from denet.model import surgery
from denet.model.model import Model

HALF = LayerOptions(border_mode="half")
BODY = "C.B[8,3,2] BNA DNC[6,2] DNS[3,4] C.B[16] BNA "
KEYS = np.array([3, 4], np.uint64)


def create(head: str, classes: int = 3, body: str = BODY) -> Model:
    return Model.create(body + head, (3, 16, 16), list("abcdefgh"[:classes]), HALF)


def batch_of_two() -> dict[str, np.ndarray]:
    """Return two images: a bright square of class 1 and a dark one of class 2 in each."""
    rng = np.random.default_rng(1)
    data = rng.uniform(0.4, 0.6, (2, 16, 16, 3)).astype(np.float32)
    box = np.zeros((2, BOX_CAPACITY, 4), np.float32)
    box_class = np.full((2, BOX_CAPACITY), -1, np.int32)
    for image, top in ((0, 0), (1, 2)):
        for index, (y, value) in enumerate(((top, 1), (top + 8, 0))):
            data[image, y : y + 6, 2:10] = value
            box[image, index] = np.array([2, y, 10, y + 6]) / 16
            box_class[image, index] = 1 + index
    return {"data": data, "box": box, "box_class": box_class}


def training_plan(model: Model, precision: str = "f32") -> Plan:
    plan = Plan(model.graph(2), NumpyBackend(), "train", precision)
    plan.load(model.values())
    return plan


def predicted(model: Model, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    plan = Plan(model.graph(2), NumpyBackend(), "predict")
    plan.load(model.values())
    return plan.run(batch)


HEADS = [
    # text, costs of DND, outputs: columns of the probability and whether there is fitness
    ("DND", ["class"], 4, False),
    ("DND[0.5,1,1]", ["class", "box"], 4, False),
    ("DND.B[0.5,1,0,0.1]", ["class", "fitness"], 4, True),
    ("DND.J[0.5,1,1]", ["class", "box"], 16, False),
    ("DND[0.5,1,1,0.1]", ["class", "box", "fitness"], 4, True),
]


@pytest.mark.parametrize(("text", "costs", "columns", "fitness"), HEADS)
def test_costs_and_outputs(text, costs, columns, fitness):
    model = create(text)
    graph = model.graph(2)
    names = [cost.name for cost in graph.costs if "denet-detect" in cost.name]
    assert names == [f"7.denet-detect.{name}" for name in costs]
    shapes = {
        "detection_probability": (2, 16, columns),
        "detection_box": (2, 16, 4),
        "sample_count": (2,),
    } | ({"detection_fitness": (2, 16, 6)} if fitness else {})
    assert {name: tensor.shape for name, tensor in graph.outputs.items()} == shapes
    assert graph.inputs["box"].shape == (2, BOX_CAPACITY, 4)

    rng, values = np.random.default_rng(0), model.values()  # corners that show something
    (corner,) = (name for name in values if name.endswith("corner.corner.weight"))
    values[corner] = rng.normal(0, 20, values[corner].shape).astype(np.float32)
    model.set_values(values)
    batch = batch_of_two()
    found = predicted(model, batch)
    assert found["detection_probability"] == pytest.approx(1 / columns)  # weights start at 0
    sample = evaluate(graph, values, batch, Run(False, KEYS))[graph.marks["sample"].name]
    np.testing.assert_allclose(found["detection_box"], sample, atol=1e-6)
    assert len(np.unique(sample.reshape(-1, 4), axis=0)) > 16
    boxes = (sample[..., 2:] > sample[..., :2]).all(axis=-1)
    assert found["sample_count"].tolist() == boxes.sum(axis=1).tolist() == [8, 16]
    if fitness:
        assert found["detection_fitness"] == pytest.approx(1 / 6)


def test_the_threshold_stands_for_classes_and_boxes_or_each_has_its_own():
    """In 2017 the text gave one number where training took two, and failed."""
    for text, expected in (("DND[0.6,1,1,1]", (0.6, 0.6)), ("DND.X[0.6,0.4,1,1,1]", (0.6, 0.4))):
        model = create(text)
        assert model.layers[-1].overlap_threshold == expected
        overlaps = {
            node.name.split(".")[-1]: node.op.overlap
            for node in model.graph(1).nodes
            if "denet-detect" in node.name and hasattr(node.op, "overlap")
        }
        classes, boxes = expected
        assert overlaps == {"class": classes, "fitness": classes, "box": boxes}
    (layer,) = create("DND").layers[-1:]
    assert layer.modified("overlap_threshold", "0.7").overlap_threshold == (0.7, 0.7)
    assert layer.modified("overlap_threshold", "0.7,0.5").overlap_threshold == (0.7, 0.5)


def test_each_factor_is_that_of_its_own_cost():
    nodes = create("DND.B[0.5,2,3,4]").graph(1).nodes
    found = {
        node.name.removeprefix("7.denet-detect."): (
            node.op.factor,
            getattr(node.op, "bounded", None),
        )
        for node in nodes
        if node.name.startswith("7.denet-detect.") and hasattr(node.op, "factor")
    }
    assert found == {"class": (2, None), "box": (3, True), "fitness": (4, None)}


def test_joint_and_independent_fitness_exclude_each_other():
    with pytest.raises(DescriptionError, match=r"joint_fitness \(J\) .*set fitness_factor to 0"):
        create("DND.J[0.5,1,1,0.1]")
    with pytest.raises(DescriptionError, match="got 0.1"):
        DenetDetect(joint_fitness=True, fitness_factor=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C[4] DND", "needs the samples of a DNS before it"),
        ("DNC[4] DND", "needs the samples of a DNS before it"),
        ("DNC[4] DNS[3,4] DNS[3,4] DND", "a network has one DNS; remove this one"),
        ("DNC[4] DNS[2,4] P[2] DND", "one position for each of 16 samples"),
        (
            "DNC[4] DNS[2,4,0.01,0.1,0,1,2] DND",
            "2 have 35 boxes, sample_num has 16 places: .* 6 or",
        ),
        ("DNC[4] DNS[2,4] DND R", "nothing may follow .* samples stands before DND"),
    ],
)
def test_networks_that_do_not_fit(text, message):
    with pytest.raises(DescriptionError, match=message):
        create(text, body="")


@pytest.mark.parametrize(
    "text", ["DND[0.3,1,1,0.5]", "DND.BX[0.3,0.2,2,0.5,0.5]", "DND.J[0.3,1,1]"]
)
def test_gradients_of_the_head_are_those_of_the_cost(text):
    """Through the plan and in float32, against float64 differences of the unfused graph."""
    model, batch = create(text), batch_of_two()
    rng = np.random.default_rng(5)
    for name, value in model.parameters[-1].items():
        model.parameters[-1][name] = rng.normal(0, 0.1, value.shape).astype(np.float32)
    plan = training_plan(model)
    costs = plan.run(batch, KEYS)
    gradients = plan.unpack(plan.gradients)
    graph, values = model.graph(2), model.values()
    names = [name for name in gradients if "denet-detect" in name]
    assert len(names) == 2 * (len(costs) - 1)
    double = {name: value.astype(np.float64) for name, value in values.items()}

    def cost(*heads):
        found = evaluate(
            graph, double | dict(zip(names, heads, strict=True)), batch, Run(True, KEYS)
        )
        return float(sum(found[each.name] for each in graph.costs))

    heads = [double[name] for name in names]
    assert sum(costs.values()) == pytest.approx(cost(*heads), rel=1e-5)
    for index, name in enumerate(names):
        direction = rng.standard_normal(heads[index].shape)
        moved = [list(heads), list(heads)]
        for sign, each in zip((1, -1), moved, strict=True):
            each[index] = heads[index] + sign * 1e-5 * direction
        slope = (cost(*moved[0]) - cost(*moved[1])) / 2e-5
        scale = np.linalg.norm(gradients[name]) + 1e-3
        assert abs((gradients[name] * direction).sum() - slope) <= 1e-4 * scale, name


def test_no_ground_truth_at_all():
    batch = batch_of_two()
    batch["box_class"][:] = -1
    plan = training_plan(create("DND[0.5,1,1,0.1]"))
    costs = plan.run(batch, KEYS)
    assert costs["7.denet-detect.box"] == 0
    assert costs["7.denet-detect.class"] == pytest.approx(1)
    assert np.isfinite(plan.gradients).all()


def test_bfloat16_costs_are_near_those_of_float32():
    """At the start no corner is likely: both precisions take the same samples."""
    model, batch = create("DND[0.5,1,1,0.1]"), batch_of_two()
    exact, rounded = (training_plan(model, each).run(batch, KEYS) for each in ("f32", "bf16"))
    assert len(exact) == 4
    for name, cost in exact.items():
        assert cost > 0 and rounded[name] == pytest.approx(cost, rel=0.01), name


@pytest.mark.parametrize("place", [3, 4, 5, 7])
def test_a_cut_anywhere_changes_no_number(place):
    """The samples of a segment that is computed twice are the same both times."""
    model, batch = create("DND[0.5,1,1,0.1]"), batch_of_two()
    rng = np.random.default_rng(2)
    for arrays in model.parameters:
        for name, value in arrays.items():
            arrays[name] = value + rng.uniform(0, 0.2, value.shape).astype(np.float32)
    cut = surgery.insert(model, place, "SPLIT")
    results = []
    for each in (surgery.merge(cut), cut):
        plan = training_plan(each)
        costs = list(plan.run(batch, KEYS).values())
        results.append((costs, plan.gradients.copy()))
    assert results[0][0] == results[1][0]
    assert (results[0][1] == results[1][1]).all() and results[0][1].any()


@pytest.mark.parametrize("text", ["DND[0.5,1,1]", "DND.B[0.5,1,0.125]"])
def test_a_detector_learns_its_two_images(text):
    """Plain gradient descent: the best sample of each object gets its class and keeps its box.

    The steps fall to 0, so that the end does not hang on the last bits of the numbers on the way.
    """
    model, batch = create(text), batch_of_two()
    plan = training_plan(model)
    before = sum(plan.run(batch, KEYS).values())
    for step in range(400):
        costs = plan.run(batch, KEYS + np.uint64(2 * step))
        rate = 0.3 * (1 - step / 400)
        np.subtract(plan.weights, rate * plan.gradients, out=plan.weights)
    assert sum(costs.values()) < before / 3
    model.set_values(plan.values())
    found = predicted(model, batch)
    for image in range(2):
        known = batch["box_class"][image] >= 0
        overlap = iou(batch["box"][image][known], found["detection_box"][image])
        for object_class, best, place in zip(
            batch["box_class"][image][known], overlap.max(1), overlap.argmax(1), strict=True
        ):
            assert best > 0.8
            assert found["detection_probability"][image, place].argmax() == object_class
