"""What each layer makes of a map: shapes, parameters, ops, and values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from layer.layer_cases import CASES, Case

from denet.errors import DescriptionError
from denet.graph.graph import Graph
from denet.graph.op.base import Run
from denet.layer.options import LayerOptions
from denet.layer.registry import layer_types
from denet.model.desc import build_layers, parse_desc


def build(text: str, shape: tuple[int, ...], class_num: int = 10, **options) -> Graph:
    """Return the graph of a network text on one map of this (h, w, c) shape."""
    graph = Graph(1, class_num)
    x = graph.input("data", (1, *shape), "real")
    for layer in build_layers(parse_desc(text), LayerOptions(**options)):
        x = layer.build(graph, x)
    graph.output("last", x)
    return graph


def run(
    graph: Graph, values: dict[str, np.ndarray], training: bool = False
) -> dict[str, np.ndarray]:
    """Return the outputs (and "cost") of the reference ops; states start as they are declared."""
    held = {tensor: values[name] for name, tensor in graph.inputs.items()}
    for name, tensor in (graph.parameters | graph.states).items():
        start = tensor.initial.sample(tensor.shape, np.random.default_rng(0))
        held[tensor] = values.get(name, start)
    for node in graph.nodes:
        outputs, _ = node.op.forward(
            Run(training, np.zeros(1, np.uint64)), *(held[tensor] for tensor in node.inputs)
        )
        held |= dict(zip(node.outputs, outputs, strict=True))
    found = {name: held[tensor] for name, tensor in graph.outputs.items()}
    return found | {"cost": sum(held[cost.tensor] for cost in graph.costs)}


def ops(graph: Graph) -> str:
    """Return the names of the ops in forward order."""
    return " ".join(type(node.op).__name__ for node in graph.nodes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_output_and_parameter_shapes(case: Case):
    graph = build(case.text, case.input, **case.options)
    assert graph.outputs["last"].shape == (1, *case.output)
    found = graph.parameters | graph.states
    assert {name: tensor.shape for name, tensor in found.items()} == case.parameters
    decaying = {name for name, tensor in found.items() if tensor.decay}
    assert decaying == {name for name in found if name.endswith("weight")}


def test_every_symbol_has_a_row():
    tested = {desc.symbol for case in CASES for desc in parse_desc(case.text)}
    assert tested == set(layer_types())


# length 8 along each axis; worked by hand from the formulas of the border modes
GEOMETRY = [
    # mode, window, stride, length after C, length after DC
    ("valid", 1, 1, 8, 8),
    ("valid", 2, 1, 7, 9),
    ("valid", 3, 1, 6, 10),
    ("valid", 3, 2, 3, 18),
    ("valid", 4, 2, 3, 19),
    ("valid", 8, 5, 1, 47),
    ("full", 2, 1, 9, 7),
    ("full", 3, 1, 10, 6),
    ("full", 3, 2, 5, 14),
    ("full", 4, 1, 11, 5),
    ("full", 4, 3, 4, 21),
    ("half", 1, 2, 4, 16),
    ("half", 2, 1, 9, 7),
    ("half", 2, 2, 5, 15),
    ("half", 3, 1, 8, 8),
    ("half", 3, 2, 4, 16),
    ("half", 4, 1, 9, 7),
    ("half", 4, 2, 5, 15),
    ("half", 7, 2, 4, 16),
    ("same", 1, 1, 8, 8),
    ("same", 2, 1, 8, 8),
    ("same", 3, 1, 8, 8),
    ("same", 4, 1, 8, 8),
    (0, 3, 1, 6, 10),
    (1, 4, 1, 7, 9),
    (2, 3, 1, 10, 6),
    (2, 4, 3, 3, 23),
    ("3", 7, 2, 4, 16),
]


@pytest.mark.parametrize(("mode", "size", "stride", "convolved", "deconvolved"), GEOMETRY)
def test_border_modes(mode, size, stride, convolved, deconvolved):
    for symbol, length in (("C", convolved), ("DC", deconvolved)):
        graph = build(f"{symbol}[2,{size},{stride}]", (8, 8, 1), border_mode=mode)
        assert graph.outputs["last"].shape == (1, length, length, 2), symbol


@pytest.mark.parametrize(
    ("size", "output"),
    [
        # a single 1 at 3 meets the window backwards; "same" is "full" from (size - 1) // 2 on
        (1, [0, 0, 0, 1, 0, 0, 0, 0]),
        (2, [0, 0, 0, 2, 1, 0, 0, 0]),
        (3, [0, 0, 3, 2, 1, 0, 0, 0]),
        (4, [0, 0, 4, 3, 2, 1, 0, 0]),
        (5, [0, 5, 4, 3, 2, 1, 0, 0]),
    ],
)
def test_same_keeps_positions(size, output):
    graph = build(f"C.XB[1,1,{size}]", (1, 8, 1), border_mode="same")
    x = np.zeros((1, 1, 8, 1), np.float32)
    x[0, 0, 3, 0] = 1
    weight = np.arange(1, size + 1, dtype=np.float32).reshape(1, 1, 1, size)
    assert run(graph, {"data": x, "weight": weight})["last"].ravel().tolist() == output


def test_same_needs_stride_1_in_a_convolution_only():
    with pytest.raises(DescriptionError, match="same needs stride 1"):
        build("C[2,3,2]", (8, 8, 1), border_mode="same")
    assert build("DC[2,4,2]", (8, 8, 1), border_mode="same").outputs["last"].shape[1] == 16


def test_bias_and_mean_senses():
    """C.B and DC.B have no bias, R.B has one; P.A is the mean of the whole map."""
    assert "bias" in build("C[2]", (4, 4, 1)).parameters
    assert "bias" not in build("C.B[2]", (4, 4, 1)).parameters
    assert "bias" not in build("DC.B[2]", (4, 4, 1)).parameters
    assert "bias" not in build("R", (4, 4, 1)).parameters
    assert "bias" in build("R.B", (4, 4, 1)).parameters
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    assert run(build("P.A", (3, 4, 1)), {"data": x})["last"].item() == 5.5
    assert run(build("P", (3, 4, 1)), {"data": x})["last"].item() == 11


def test_batch_norm_keeps_unbiased_running_variance():
    graph = build("BN[0.75,0.5]", (3, 4, 2))
    mean, variance = graph.updates
    assert (mean.state.name, mean.momentum, mean.scale) == ("mean", 0.75, 1.0)
    assert (variance.state.name, variance.momentum) == ("variance", 0.75)
    assert variance.scale == 12 / 11
    assert (
        build("BN", (1, 1, 2)).updates[1].scale == 1.0
    )  # one value: no estimate, no division by 0
    assert graph.nodes[0].op.eps == 0.5


def test_disabled_normalisation_and_split():
    for text, expected in (("BN", ""), ("BNA", "Activation"), ("SPLIT", "")):
        graph = Graph(1, 2)
        layer = build_layers(parse_desc(text))[0].modified("enabled", "false")
        layer.build(graph, graph.input("data", (1, 4, 4, 2), "real"))
        assert (ops(graph), graph.parameters, graph.segment) == (expected, {}, 0)


BLOCKS = [
    ("RSN.O[3,3]", "Conv BatchNorm Activation Conv BatchNorm Add Activation"),
    (
        "RSN.O[4,3,2]",
        "Conv BatchNorm Activation Conv BatchNorm Conv BatchNorm Add Activation",
    ),
    (
        "RSN.O[4,3,1,2]",
        "Conv BatchNorm Activation Conv BatchNorm Activation Conv BatchNorm Conv BatchNorm Add "
        "Activation",
    ),
    ("DL[3]", "BatchNorm Activation Conv BatchNorm Activation Conv Concat"),
    (
        "DL[3,4,0.1]",
        "BatchNorm Activation Conv Dropout BatchNorm Activation Conv Dropout Concat",
    ),
    ("DL[3,0]", "BatchNorm Activation Conv Concat"),
    ("TR[0.5,0.1]", "BatchNorm Activation Conv Dropout Pool"),
    ("RSN[3,3]", "BatchNorm Activation Conv BatchNorm Activation Conv Add"),
    ("RSN[4,3]", "BatchNorm Activation Conv BatchNorm Activation Conv Conv Add"),
    (
        "RSN[3,3,1,2]",
        "BatchNorm Activation Conv BatchNorm Activation Conv BatchNorm Activation Conv Add",
    ),
]


@pytest.mark.parametrize(("text", "expected"), BLOCKS)
def test_residual_block_order(text, expected):
    assert ops(build(text, (8, 8, 3), activation="tanh")) == expected


def test_residual_block_strides_and_sources():
    """The stride is in the first convolution; the projection of a block without O reads bn1."""
    graph = build("RSN[4,3,2,2]", (8, 8, 3), weight_init=["0"])
    strides = [node.op.stride for node in graph.nodes if type(node.op).__name__ == "Conv"]
    assert strides == [(2, 2), (1, 1), (1, 1), (2, 2)]
    projection = graph.nodes[-2]
    assert projection.inputs[0] is graph.nodes[0].outputs[0]
    assert graph.parameters["conv2.weight"].initial.spread == pytest.approx((2 / (9 * 2)) ** 0.5)

    fused = build_layers(parse_desc("RSN[4,3,2,2]"))[0].modified("bn_relu", "1")
    graph = Graph(1, 2)
    fused.build(graph, graph.input("data", (1, 8, 8, 3), "real"))
    assert graph.nodes[-2].inputs[0] is graph.nodes[1].outputs[0]
    assert type(graph.nodes[1].op).__name__ == "Activation"


def test_residual_block_values():
    """One channel, 1x1 windows, fresh statistics: each normalisation divides by sqrt(1 + eps)."""
    x = np.array([-2.0, 3.0], np.float32).reshape(1, 1, 2, 1)
    weights = {
        "data": x,
        "conv1.weight": np.full((1, 1, 1, 1), -1, np.float32),
        "conv2.weight": np.full((1, 1, 1, 1), 4, np.float32),
    }
    after = run(build("RSN.O[1,1]", (1, 2, 1)), weights)["last"].ravel()
    assert after == pytest.approx([8 - 2, 3], rel=1e-4)  # relu(4 relu(-x) + x)
    before = run(build("RSN[1,1]", (1, 2, 1)), weights)["last"].ravel()
    assert before == pytest.approx([-2, 3], rel=1e-4)  # 4 relu(-relu(x)) + x


def test_block_without_normalisation():
    layer = build_layers(parse_desc("RSN.O[4,3]"))[0].modified("bn_enabled", "0")
    graph = Graph(1, 2)
    layer.build(graph, graph.input("data", (1, 8, 8, 3), "real"))
    assert ops(graph) == "Conv Activation Conv Conv Add Activation"
    assert set(graph.parameters) == {"conv1.weight", "conv2.weight", "shortcut.weight"}


def test_regression_over_positions_and_centre():
    """Two positions with logits (0, ln 3) and (0, 0): probability 3/4 and 1/2 for class 1."""
    x = np.array([0, np.log(3), 0, 0], np.float32).reshape(1, 1, 2, 2)
    weight = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
    values = {"data": x, "weight": weight, "class_index": np.array([1], np.int32)}
    whole = run(build("R[1]", (1, 2, 2), class_num=2), values)
    assert whole["class_probability"].ravel() == pytest.approx([3 / 8, 5 / 8])
    assert whole["cost"] == pytest.approx((np.log(4 / 3) + np.log(2)) / 2)
    assert (whole["class_map"] == x).all()
    centre = run(build("R.C[1]", (1, 2, 2), class_num=2), values)  # column 2 // 2 = 1
    assert centre["class_probability"].ravel() == pytest.approx([1 / 2, 1 / 2])
    assert centre["cost"] == pytest.approx(np.log(2)) and "class_map" not in centre


def test_class_weights_start_at_zero_or_random():
    assert build("R", (2, 2, 3)).parameters["weight"].initial.spread == 0
    start = build("R.T", (2, 2, 3)).parameters["weight"].initial
    assert (start.kind, start.spread) == ("uniform", pytest.approx((1 / 12) ** 0.5))
    assert build("R", (2, 2, 3)).outputs["last"].type.dtype == "float32"


def test_skip_adds_projects_and_appends():
    x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    graph = build("SKIPSRC[1] B C.B[1] SKIP[1]", (2, 2, 1))
    weight = np.full((1, 1, 1, 1), 10, np.float32)
    assert run(graph, {"data": x, "weight": weight})["last"].ravel().tolist() == [0, 11, 22, 33]
    graph = build("SKIPSRC C.B[1] SKIP.C", (2, 2, 1))
    both = run(graph, {"data": x, "weight": weight})["last"]
    assert both[0, 1, 1].tolist() == [30, 3]  # this map first, then the marked one
    graph = build("SKIPSRC C.B[2] SKIP", (2, 2, 1))
    start = graph.parameters["conv.weight"].initial
    assert (start.kind, start.spread) == ("normal", 1.0)  # he-backward: sqrt(2 / 2)


def scoped(text: str, shape: tuple[int, ...]) -> Graph:
    """Return the graph of a network whose layers may hold parameters of the same name."""
    graph = Graph(1, 10)
    x = graph.input("data", (1, *shape), "real")
    for number, layer in enumerate(build_layers(parse_desc(text)), 1):
        with graph.scope(f"{number}.{layer.type_name}"):
            x = layer.build(graph, x)
    return graph


def test_cuts():
    graph = scoped("C[1] SPLIT C[1] SKIPSRC.X C[1] SKIPSRC[1] C[1]", (4, 4, 1))
    assert [node.segment for node in graph.nodes] == [0, 1, 2, 2]


def test_random_layers_draw_differently():
    salts = [node.op.salt for node in scoped("D D CM[6] CM[4]", (8, 8, 1)).nodes]
    assert len(set(salts)) == 4
    assert all(0 <= salt < 2**64 for salt in salts)


MISFITS = [
    ("C[2,9]", (8, 8, 1), "9x9"),
    ("P[9]", (8, 8, 1), "9x9"),
    ("P[2] P[2] P[2] P[2]", (8, 8, 1), "2x2"),
    ("CM[9]", (8, 8, 1), "9x9"),
    ("R[9]", (8, 8, 1), "9x9"),
    ("SKIP", (8, 8, 1), "no SKIPSRC\\[0\\] stands before it \\(marked so far: none\\)"),
    ("SKIPSRC[3] SKIP", (8, 8, 1), "marked so far: 3"),
    ("SKIPSRC P[2] SKIP", (8, 8, 1), "\\[8, 8, 1\\] and this one \\[4, 4, 1\\]"),
    ("SKIPSRC P[2] SKIP.C", (8, 8, 1), "\\[8, 8, 1\\] and this one \\[4, 4, 1\\]"),
    ("SKIPSRC SKIPSRC", (8, 8, 1), "marked twice"),
]


@pytest.mark.parametrize(("text", "shape", "message"), MISFITS)
def test_shapes_that_do_not_fit(text, shape, message):
    with pytest.raises(DescriptionError, match=message):
        build(text, shape)


def test_deconvolution_without_output():
    with pytest.raises(DescriptionError, match="Deconv"):
        build("DC[2,1]", (2, 2, 1), border_mode=4)
