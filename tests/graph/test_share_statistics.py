"""Ranks that train a network together against one process with the joined batch."""

from functools import partial

import numpy as np
import pytest
from graph.ranks import Ranks

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import UsageError
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.shared_batch_norm import SharedBatchNorm
from denet.graph.plan import Plan
from denet.graph.share_statistics import share_statistics, without_images
from denet.layer.options import LayerOptions
from denet.model.model import Model

BACKENDS = [NumpyBackend]
try:
    from denet.backend.onednn.backend import OneDnnBackend

    OneDnnBackend()
    BACKENDS.append(OneDnnBackend)
except UsageError:  # where oneDNN does not load
    pass

SIZES = (3, 1, 2)  # images of each rank
STEPS, LEARN_RATE = 8, 0.05
TEXT = "C.B[16,3] BN A RSN.O[16,3] SPLIT RSN.O[12,3,2] BNA C[8,3] BN P.A R"
NORM_NUM = 8


def model_of() -> Model:
    return Model.create(TEXT, (3, 12, 12), list("abc"), LayerOptions(border_mode="half"))


def batches():
    """Yield the joined batches of all steps."""
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        data = rng.standard_normal((sum(SIZES), 12, 12, 3)).astype(np.float32)
        # each rank sees images of another brightness: its own statistics would not do
        data += np.repeat(np.arange(3), SIZES)[:, None, None, None].astype(np.float32)
        yield {"data": data, "class_index": rng.integers(0, 3, sum(SIZES)).astype(np.int32)}


def descend(plans, shares, gradients):
    """Make one step of every plan with the weighted mean of the gradients."""
    means = {
        name: sum(share * one[name] for share, one in zip(shares, gradients, strict=True))
        for name in gradients[0]
    }
    for plan in plans:
        values = plan.values()
        moved = {name: values[name] - LEARN_RATE * mean for name, mean in means.items()}
        plan.load(values | moved)


def trained(plan):
    """Train one process on the joined batches; return its values and costs."""
    costs = []
    for batch in batches():
        costs += [float(*plan.run(batch).values())]
        descend([plan], [1], [plan.unpack(plan.gradients)])
    return plan.values(), costs


@pytest.mark.parametrize("frozen", [(), (1, 2, 4)], ids=["trained", "frozen"])
@pytest.mark.parametrize("recompute", ["none", "cheap", "half"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ranks_train_what_one_process_trains(backend, recompute, frozen):
    model, shares = model_of(), np.array(SIZES) / sum(SIZES)
    single = Plan(model.graph(sum(SIZES), frozen=frozen), backend(), "train")
    single.load(model.values())
    expected, expected_costs = trained(single)

    ranks = Ranks(len(SIZES))
    plans = [
        Plan(
            share_statistics(model.graph(size, frozen=frozen), total),
            backend(),
            "train",
            recompute=recompute,
        )
        for size, total in zip(SIZES, ranks.sums, strict=True)
    ]
    for plan in plans:
        plan.load(model.values())
    costs = []
    for batch in batches():
        ends = np.cumsum(SIZES)[:-1]
        parts = [{} for _ in SIZES]
        for name, array in batch.items():
            for part, piece in zip(parts, np.split(array, ends), strict=True):
                part[name] = piece
        works = [partial(plan.run, part) for plan, part in zip(plans, parts, strict=True)]
        costs += [shares @ [float(*found.values()) for found in ranks.run(works)]]
        descend(plans, shares, [plan.unpack(plan.gradients) for plan in plans])

    np.testing.assert_allclose(costs, expected_costs, rtol=1e-5)
    for name, value in expected.items():
        for plan in plans:
            found = plan.values()[name]
            np.testing.assert_allclose(found, value, rtol=0, atol=1e-5, err_msg=name)
    if not frozen:
        assert ranks.exchanges == STEPS * 2 * NORM_NUM  # none is made twice


def test_every_batch_norm_is_replaced_and_the_graph_is_left_as_it_was():
    graph = model_of().graph(2)
    nodes, updates = list(graph.nodes), list(graph.updates)
    found = share_statistics(graph, np.copy)
    assert graph.nodes == nodes and graph.updates == updates
    norms = [node.op for node in found.nodes if isinstance(node.op, BatchNorm)]
    assert len(norms) == NORM_NUM and {type(op) for op in norms} == {SharedBatchNorm}
    assert {update.scale for update in found.updates} == {1.0}
    assert [update.state for update in found.updates] == [update.state for update in updates]


def test_a_rank_without_images_keeps_the_running_statistics_of_the_others():
    model, ranks = model_of(), Ranks(2)
    sums = ranks.sums[0], without_images(ranks.sums[1])
    plans = [Plan(share_statistics(model.graph(1), one), NumpyBackend(), "train") for one in sums]
    batch = next(batches())
    works = []
    for rank, plan in enumerate(plans):
        plan.load(model.values())
        part = {name: array[rank : rank + 1] for name, array in batch.items()}
        works.append(partial(plan.run, part))
    ranks.run(works)
    assert (plans[0].states == plans[1].states).all()
    single = Plan(model.graph(1), NumpyBackend(), "train")
    single.load(model.values())
    single.run({name: array[:1] for name, array in batch.items()})
    np.testing.assert_allclose(plans[0].states, single.states, rtol=1e-5, atol=1e-6)
