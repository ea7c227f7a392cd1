"""What is computed twice instead of kept: fewer bytes, and not one bit of difference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from graph.networks import SharingBackend

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import UsageError
from denet.graph.cut import cut
from denet.graph.graph import Graph
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.conv import Conv
from denet.graph.op.first_channels import FirstChannels
from denet.graph.plan import Plan
from denet.graph.recompute import CHOICES, LADDER, Saving, repeated
from denet.layer.options import LayerOptions
from denet.model.model import Model

BACKENDS = [NumpyBackend, SharingBackend]
try:
    from denet.backend.onednn.backend import OneDnnBackend

    OneDnnBackend()
    BACKENDS.append(OneDnnBackend)
except UsageError:  # where oneDNN does not load
    pass

NETWORKS = {
    "dense": "C.B[6,3] nDL[3,4,4,0.2] TR[0.5,0.2] nDL[2,4,0] BN A P.A R.B",
    "residual": "C.B[8,3,2] BN A RSN.O[8,3] RSN[12,3,2] D SPLIT RSN.O[12,3] P[2] A SPLIT C[3] R",
    "row": "C[4,3] A C.B[4,3] BN A P[2] C[8,3] A D C[8,3] BN A P.A R",
    "concatenated": "C[4,3] A SKIPSRC C[3,3] BN A SKIP.C SKIPSRC[1] P[3,1,1] SKIP.C[1] LRN R",
    "detector": "C.B[8,3,2] BNA SKIPSRC C.B[8,3] BN A SKIP DNC.C[6,2] DNS[3,4] C[8] A DND[0.5,1,1]",
}
KEYS = np.arange(3, dtype=np.uint64)


def model_of(name: str) -> Model:
    return Model.create(NETWORKS[name], (3, 12, 16), ["a", "b"], LayerOptions(border_mode="half"))


def batch_of(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    corners = np.sort(rng.uniform(0, 1, (3, 128, 2, 2)), axis=2)
    made = {
        "data": rng.standard_normal((3, 12, 16, 3)).astype(np.float32),
        "class_index": rng.integers(0, 2, 3).astype(np.int32),
        "box": corners.reshape(3, 128, 4).astype(np.float32),
        "box_class": np.where(np.arange(128) < 2, 1, -1)[None].repeat(3, 0).astype(np.int32),
    }
    return {name: made[name] for name in graph.inputs}


def trained(name: str, saving: Saving, backend: type, precision: str) -> tuple[int, list]:
    """Return the bytes of the arena; costs, gradients and running averages of two steps."""
    model = model_of(name)
    graph = model.graph(3)
    if saving.parts:
        cut(graph, saving.parts)
    plan = Plan(graph, backend(), "train", precision, recompute=saving.choice)
    plan.load(model.values())
    found = []
    for step in (0, 1):
        costs = plan.run(batch_of(graph), KEYS + np.uint64(step))
        found += [{key: float(cost) for key, cost in costs.items()}]
        found += [plan.gradients.tobytes(), plan.states.tobytes()]
    return plan.arena_bytes, found


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_choice_gives_the_same_bits(name: str, backend: type, precision: str) -> None:
    results = {saving: trained(name, saving, backend, precision) for saving in LADDER}
    for saving, (_, found) in results.items():
        assert found == results[LADDER[0]][1], saving


@pytest.mark.parametrize("backend", BACKENDS)
def test_less_is_kept(backend: type) -> None:
    """Of the dense network nothing is cut, of the others cheap values are a part."""
    model = Model.create(
        "C.B[16,3] nDL[6,12] TR nDL[6,12] BN A P.A R.B",
        (3, 16, 16),
        ["a", "b"],
        LayerOptions(border_mode="half"),
    )
    none, segments, cheap, half = (
        Plan(model.graph(8), backend(), "train", recompute=choice).arena_bytes for choice in CHOICES
    )
    assert none == segments and cheap < 0.5 * none and half < 0.8 * cheap


def test_of_two_convolutions_one_is_kept() -> None:
    """What dropout gives is kept too: the convolution behind it can run again."""
    graph = model_of("row").graph(3)
    again = repeated(graph, "half")[0].keys() - repeated(graph, "cheap")[0].keys()
    convolutions = [node for node in graph.nodes if isinstance(node.op, Conv)]
    assert again == {convolutions[index] for index in (0, 2, 3)}


def test_what_runs_again() -> None:
    """Three segments: of the first two everything, of the last one what is cheap."""
    graph = model_of("residual").graph(3)
    none, segments, cheap, _ = (repeated(graph, choice)[0] for choice in CHOICES)
    assert not none
    assert segments.keys() == {node for node in graph.nodes if node.segment < 2}
    more = cheap.keys() - segments.keys()
    assert {node.segment for node in more} == set() or {node.segment for node in more} == {2}
    assert not any(isinstance(node.op, Conv) for node in more)
    graph = model_of("dense").graph(3)
    _, segments, cheap, _ = (repeated(graph, choice)[0] for choice in CHOICES)
    assert not segments and {type(n.op) for n in cheap} >= {BatchNorm}


def test_a_block_is_kept_once_and_its_layers_read_parts_of_it() -> None:
    """Of the three concatenations of a block the last is kept, of two in another network too."""
    for name, parts in (("dense", 3), ("concatenated", 0)):
        graph = model_of(name).graph(3)
        again, _ = repeated(graph, "cheap")
        producer = {tensor: node for node in graph.nodes for tensor in node.outputs}
        assert sum(isinstance(run.op, FirstChannels) for run in again.values()) == parts, name
        for node, run in again.items():
            assert run.outputs == node.outputs
            if run is not node:
                assert producer[run.inputs[0]] not in again
                assert run.op.channels == run.outputs[0].shape[3]


def test_a_long_row_of_nodes_does_not_exhaust_the_stack() -> None:
    text = "C[1] " + " ".join(itertools.repeat("C[1] A", 600)) + " SPLIT R"
    model = Model.create(text, (1, 1, 1), ["a", "b"])
    assert Plan(model.graph(1), NumpyBackend(), "train").arena_bytes > 0
