"""Ranks that have a part of wide layers' outputs against one process with the joined batch."""

from functools import partial

import numpy as np
import pytest
from graph.ranks import Member, Ranks

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import UsageError
from denet.graph.op.conv import Conv
from denet.graph.op.gather_rows import GatherRows
from denet.graph.op.scatter_columns import ScatterColumns
from denet.graph.plan import Plan
from denet.graph.shard import part_of, shard
from denet.graph.tensor_type import TensorType
from denet.layer.options import LayerOptions
from denet.model.model import Model

BACKENDS = [NumpyBackend]
try:
    from denet.backend.onednn.backend import OneDnnBackend

    OneDnnBackend()
    BACKENDS.append(OneDnnBackend)
except UsageError:  # where oneDNN does not load
    pass

TEXT = "C[4,3] A D[0.4] F[10,0.5] A D[0.3] SPLIT F[7] A SPLIT C[5] A R.TB"
SPLIT = {"4.full": 10, "8.full": 7, "11.conv": 5, "13.class-conv": 4}  # outputs
CLASSES = "abcd"
HALF = LayerOptions(border_mode="half")
SIZES = {2: (3, 1), 3: (2, 3, 1), 4: (1, 1, 0, 2)}  # images of each rank; at least one is run
MOST = 3


def model_of(text=TEXT):
    return Model.create(text, (3, 6, 5), list(CLASSES), seed=3)


def batch_of(images):
    rng = np.random.default_rng(1)
    data = rng.standard_normal((images, 6, 5, 3)).astype(np.float32)
    classes = rng.integers(0, len(CLASSES), images).astype(np.int32)
    return {"data": data, "class_index": classes}, np.arange(images, dtype=np.uint64) + 5


def parts_of(sizes, batch, keys):
    """Return what each rank runs: its images, or another one's that does not count."""
    ends = np.cumsum([0, *sizes])
    for start, size in zip(ends, sizes, strict=False):
        part = slice(start, start + size) if size else slice(0, 1)
        yield {name: value[part] for name, value in batch.items()}, keys[part]


def run(plan, batch, keys):
    """Return cost and gradients of a step."""
    (cost,) = plan.run(batch, keys).values()
    return float(cost), plan.unpack(plan.gradients)


def joined(model, sizes, found):
    """Return the gradients of all ranks as one."""
    shares = np.array(sizes) / sum(sizes)
    whole = {}
    for name, shape in model.shapes().items():
        parts = [gradients[name] for _, gradients in found]
        if parts[0].shape == shape:
            whole[name] = sum(share * part for share, part in zip(shares, parts, strict=True))
        else:
            whole[name] = np.concatenate(parts)
    return whole


def compare(backend, count, **settings):
    """Return cost and gradients of the ranks, then those of one process in f32."""
    model, sizes, ranks = model_of(), SIZES[count], Ranks(count)
    batch, keys = batch_of(sum(sizes))
    single = Plan(model.graph(sum(sizes)), backend(), "train")
    single.load(model.values())
    cost, expected = run(single, batch, keys)
    works = []
    for member, size, part in zip(ranks.members, sizes, parts_of(sizes, batch, keys), strict=True):
        member.share = size / sum(sizes)
        graph = shard(model.graph(max(size, 1)), 0, MOST, member)
        plan = Plan(graph, backend(), "train", **settings)
        plan.load(model.values())
        works.append(partial(run, plan, *part))
    found = ranks.run(works)
    costs = [each for each, _ in found]
    for layer, outputs in SPLIT.items():
        shapes = [gradients[f"{layer}.weight"].shape for _, gradients in found]
        assert [shape[0] for shape in shapes] == [
            part_of(outputs, rank, count).stop - part_of(outputs, rank, count).start
            for rank in range(count)
        ], layer
    total = np.dot(costs, sizes) / sum(sizes)
    return (total, joined(model, sizes, found)), (cost, expected)


@pytest.mark.parametrize("recompute", ["none", "segments", "half"])
@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ranks_find_what_one_process_finds(backend, count, recompute):
    (total, found), (cost, expected) = compare(backend, count, recompute=recompute)
    np.testing.assert_allclose(total, cost, rtol=1e-6)
    for name, value in expected.items():
        limit = 1e-6 * max(np.abs(value).max(), 1e-2)
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=limit, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ranks_in_bf16_are_near(backend):
    (total, found), (cost, expected) = compare(backend, 3, precision="bf16")
    np.testing.assert_allclose(total, cost, rtol=1e-2)
    for name, value in expected.items():
        error = np.linalg.norm(found[name] - value) / np.linalg.norm(value)
        assert error < 0.05, name


def test_a_split_layer_by_hand():
    """Two ranks, two images of two numbers, three outputs; the second rank has one image of 3."""
    weight = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).reshape(3, 2, 1, 1)
    images = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])]
    gradients = [np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]]), np.array([[3.0, 0.0, 1.0]])]
    ranks = Ranks(2)

    def work(member, x, g):
        x, g = x.reshape(-1, 1, 1, 2), g.reshape(-1, 1, 1, 3)
        member.share = len(x) / 3
        gather = GatherRows(len(x), 2, member)
        scatter = ScatterColumns(len(x), 2, (1, 2), member)
        own = weight[:1] if member.rank == 0 else weight[1:]
        rows = gather.forward(None, x)[0][0]
        columns = Conv().forward(None, rows, own)[0][0]
        y = scatter.forward(None, columns)[0][0]
        (gcolumns,) = scatter.backward(None, (), (), (), (g,))
        grows, gweight = Conv().backward(None, (rows, own), (), (), (gcolumns,))
        return y, gweight, gather.backward(None, (), (), (), (grows,))[0]

    found = ranks.run(
        [partial(work, *each) for each in zip(ranks.members, images, gradients, strict=True)]
    )
    (y0, gweight0, gx0), (y1, gweight1, gx1) = found
    assert y0.tolist() == [[[[1, 2, 3]]], [[[3, 4, 7]]]] and y1.tolist() == [[[[5, 6, 11]]]]
    # 2/3 of the sum over the images of rank 0, 1/3 of that of rank 1
    np.testing.assert_allclose(gweight0.reshape(1, 2), [[17 / 3, 22 / 3]])
    np.testing.assert_allclose(gweight1.reshape(2, 2), [[10 / 3, 16 / 3], [13 / 3, 22 / 3]])
    np.testing.assert_allclose(gx0.reshape(2, 2), [[5, 6], [0, 1]])
    np.testing.assert_allclose(gx1.reshape(1, 2), [[4, 1]])


def split_layers(graph):
    nodes = [node for node in graph.nodes if isinstance(node.op, ScatterColumns)]
    return [node.name.rpartition(".")[0].rpartition(".")[0] for node in nodes]


@pytest.mark.parametrize(
    "above, expected",
    [
        (0, ["4.full", "8.full", "11.conv"]),  # R has 4 outputs
        (39, ["4.full", "8.full", "11.conv"]),
        (40, ["4.full", "8.full"]),
        (76, ["4.full", "8.full"]),
        (77, ["4.full"]),
        (489, ["4.full"]),
    ],
)
def test_layers_with_more_parameters_and_enough_outputs_are_split(above, expected):
    graph = shard(model_of().graph(2), above, 2, Member(rank=1, count=5))
    assert split_layers(graph) == expected
    assert {name for name, each in graph.parameters.items() if each.derive} == {
        f"{layer}.{name}" for layer in expected for name in ("weight", "bias")
    }


def test_convolutions_whose_window_is_not_the_map_stay_whole():
    small = model_of("C[8,3] A C[6,1] P.A F[9] C[8] R")  # windows that are not the map
    assert split_layers(shard(small.graph(2), 0, 2, Member(count=2))) == [
        "5.full",
        "6.conv",
        "7.class-conv",
    ]
    padded = Model.create("C.X[6,6,5,1,1] A P.A R", (3, 6, 5), list(CLASSES), options=HALF)
    assert split_layers(shard(padded.graph(2), 0, 2, Member(count=2))) == ["4.class-conv"]


@pytest.mark.parametrize(
    "text, above, words",
    [
        ("F[12] R", 1092, "the largest has 1,092: give less, or leave it out"),
        ("C[4,3] R[1]", 0, "there is none, or leave it out"),
        ("P.A C[2] A R.C[1]", 8, "the largest has 8: give less, or leave it out"),
    ],
)
def test_nothing_to_split_is_told(text, above, words):
    with pytest.raises(UsageError) as error:
        shard(model_of(text).graph(1), above, 1, Member(count=3))
    most = (
        f"--shard-above: {above:,}: no fully connected or class layer with at least 3 outputs has"
    )
    assert str(error.value) == f"{most} more parameters; {words}"


def test_types_and_padding_of_a_short_batch():
    member = Member(rank=1, count=3)
    gather = GatherRows(2, 4, member)
    assert gather.infer(TensorType((2, 3, 5, 7), "float32")) == (
        TensorType((12, 3, 5, 7), "float32"),
    )
    scatter = ScatterColumns(2, 4, (3, 2, 3), member)
    assert scatter.infer(TensorType((12, 1, 1, 2))) == (TensorType((2, 1, 1, 8)),)
