"""Plans of whole network texts equal a float64 evaluation of the graph before any fusion."""

from dataclasses import replace

import numpy as np
import pytest
from graph.networks import SharingBackend, batch_of, conv, evaluate, norm

from denet.backend.numpy.backend import NumpyBackend
from denet.graph.fuse import for_training
from denet.graph.graph import Cost, Graph
from denet.graph.op.add import Add
from denet.graph.op.base import Run
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.conv import Conv
from denet.graph.plan import Plan
from denet.layer.options import LayerOptions
from denet.model.model import Model

NETWORKS = {  # every way in which layers meet; 8x8 pictures of 3 channels
    "plain": "C[4,3] A P[2] C[5,3,2] A R.BT",
    "norm": "C.B[4,3] BN A C[6,3] BN A P.A R.T",
    "fused norm": "C.B[4,3] BNA P[3,2,1] C[4,1] BNA R.T",
    "norm before pooling": "C[4,3] BN P[2] A R.T",
    "original blocks": "C.B[4,3] BN A nRSN.O[2,4,3] RSN.O[6,3,2] P.A R.T",
    "bottleneck blocks": "C.B[4,3] BN A RSN.O[8,3,1,2] RSN.O[8,3,2,2] P.A R.T",
    "pre-activation blocks": "C.B[4,3] nRSN[2,4,3] RSN[6,3,2] BN A P.A R.T",
    "pre-activation bottleneck": "C.B[4,3] RSN[8,3,2,2] BN A P.A R.T",
    "dropout": "C[4,3] A D[0.3] C[4,3] D BN A R.T",
    "deconvolution": "C[4,3,2] BN A DC[4,3,2] BN A DC.B[3,3] P.A R.T",
    "up and skip": "C[4,3] A SKIPSRC[0] P[2] C[4,3] A PI[2] SKIP[0] A R.T",
    "projected skip": "C[4,3] SKIPSRC[0] A C[6,3] BN SKIP[0] A R.T",
    "concatenated skip": "C[4,3] A SKIPSRC[0] C[6,3] SKIP.C[0] BN A R.T",
    "split": "C[4,3] BN A SPLIT C[4,3] BN A SKIPSRC.X[0] C[4,3] BN A SPLIT C[4,3] SKIP[0] A R.T",
    "borders and crops": "B[1] CM[6,0.5,0.5] C[4,3] A R.CT[3]",
    "inner borders": "B[1] C[4,3] A B[2] C[5,5,2] B[3] C[4,3] B[1] A B[1] C.X[3,1,3] R.T",
    "wide window": "C.X[4,1,5,1,2] A P.B[3] R.T",
}


def make(text: str, activation: str = "relu") -> tuple[Model, dict[str, np.ndarray]]:
    """Return the model and values in which every state differs from its start."""
    options = LayerOptions(activation=activation, border_mode="half")
    model = Model.create(text, (3, 8, 8), ["a", "b", "c"], options, seed=3)
    rng = np.random.default_rng(4)
    values = {}
    for name, value in model.values().items():
        moved = value + rng.uniform(0.05, 0.4, value.shape)
        values[name] = moved.astype(np.float32)
    return model, values


@pytest.mark.parametrize("text", NETWORKS.values(), ids=NETWORKS.keys())
def test_prediction(text):
    model, values = make(text)
    graph = model.graph(3)
    plan = Plan(model.graph(3), NumpyBackend(), "predict")
    plan.load(values)
    batch = batch_of(graph)
    result = plan.run({"data": batch["data"]})["class_probability"]
    everything = evaluate(graph, values, batch, Run(False, np.arange(3, dtype=np.uint64)))
    expected = everything[graph.outputs["class_probability"].name]
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "elu"])
@pytest.mark.parametrize("text", NETWORKS.values(), ids=NETWORKS.keys())
def test_training_step(text, activation):
    """The cost is that of the unfused graph, and falls along the gradient as float64 says."""
    model, values = make(text, activation)
    graph = model.graph(3)
    plan = Plan(model.graph(3), NumpyBackend(), "train")
    plan.load(values)
    batch = batch_of(graph)
    run = Run(True, np.arange(3, dtype=np.uint64))
    cost = float(next(iter(plan.run(batch, run.sample_keys).values())))
    name = graph.costs[0].tensor.name
    np.testing.assert_allclose(cost, evaluate(graph, values, batch, run)[name], rtol=1e-4)

    store = plan._store
    direction = {key: store.gradient(key).astype(np.float64) for key in store.part_of}
    length = np.sqrt(sum((part**2).sum() for part in direction.values()))
    costs = []
    for step in (1e-7, -1e-7):
        moved = {key: np.asarray(value, np.float64) for key, value in values.items()}
        for key, part in direction.items():
            moved[key] = moved[key] + step * part / length
        costs.append(evaluate(graph, moved, batch, run)[name])
    np.testing.assert_allclose((costs[0] - costs[1]) / 2e-7, length, rtol=1e-3)


def trained(plan: Plan, values, batch) -> tuple[list, bytes, bytes]:
    """Return costs, gradients and running averages of one step."""
    plan.load(values)
    costs = [float(cost) for cost in plan.run(batch).values()]
    return costs, plan.gradients.tobytes(), plan.states.tobytes()


@pytest.mark.parametrize("frozen", [frozenset(), frozenset({0, 1, 2, 3})], ids=["", "frozen"])
@pytest.mark.parametrize("text", NETWORKS.values(), ids=NETWORKS.keys())
def test_statistics_from_the_convolution_change_no_bit(text, frozen):
    model, values = make(text)
    graph = model.graph(3, frozen=frozen)
    alone, shared = (Plan(graph, each(), "train") for each in (NumpyBackend, SharingBackend))
    batch = batch_of(graph)
    assert trained(shared, values, batch) == trained(alone, values, batch)


def test_a_batch_norm_takes_the_statistics_of_the_convolution_that_it_reads() -> None:
    """Others may read it too; behind anything else, and in prediction, it looks for itself."""
    options = LayerOptions(border_mode="half")
    text = "C[4,3] SKIPSRC BN A C[4,3] SKIP BN BN DC[4,2,2] BN C[4,3] BN P.A R"
    model = Model.create(text, (3, 8, 8), ["a", "b"], options)

    def shared(mode: str) -> dict[type, list[bool]]:
        plan = Plan(model.graph(2), SharingBackend(), mode)
        return {
            kind: [node.op.statistics for node in plan._graph.nodes if isinstance(node.op, kind)]
            for kind in (Conv, BatchNorm)
        }

    assert shared("train") == {
        Conv: [True, False, True, False],  # the last is that of the classifier
        BatchNorm: [True, False, False, False, True],
    }
    assert not any(map(any, shared("predict").values()))


def test_of_two_batch_norms_the_first_takes_them() -> None:
    graph = Graph(2, class_num=2)
    x = graph.input("data", (2, 8, 8, 3), "real")
    y = conv(graph, x, 4, 3, "c")
    both = [norm(graph, y, name) for name in ("n1", "n2")]
    graph.output("sum", graph.apply(Add(), *both))
    nodes = for_training(replace(graph, costs=[Cost(graph.outputs["sum"], "sum")]), "f32", True)
    shared = {node.name: getattr(node.op, "statistics", False) for node in nodes.nodes}
    assert shared == {"c": True, "n1": True, "n2": False, "add": False}


def test_a_border_moves_into_the_convolution_unless_whole_windows_would_see_it_only() -> None:
    options = LayerOptions(border_mode="valid")
    text = "B[1] C[4,3] A B[2] C[4,3] A B[3] C[4,3] A B[1] P[2] R"
    model = Model.create(text, (3, 8, 8), ["a", "b"], options)
    plan = Plan(model.graph(1), NumpyBackend(), "train")
    borders = [name for name in plan.kernel_names() if name.endswith("pad")]
    assert borders == ["7.border.pad", "10.border.pad"]
