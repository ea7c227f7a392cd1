"""Mean and variance that convolutions give of what they write, in every way and tile."""

import numpy as np
import pytest
from backend.convolutions import ONE, convolution
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.cuda.recording_device import RecordingDevice
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun
from graph.cases import Case, MeasuredCase
from graph.networks import batch_of, residual_network, start_values

from denet.backend.cuda import conv_tile, statistics
from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.conv_tile import HOPPER, TILES
from denet.backend.cuda.tuning import Tuning
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.conv import Conv
from denet.graph.plan import Plan
from denet.graph.recompute import LADDER
from denet.graph.tensor_type import TensorType

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

WAYS = {
    "exact": ("f32", None),
    "bf16, exact": ("bf16", None),  # groups that fill no chunks
    **{tile.name: ("bf16", tile) for tile in TILES},
}
KEYS = np.arange(4, dtype=np.uint64)


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Return a precision and the tile that serves it."""
    precision, tile = WAYS[request.param]
    if tile:
        monkeypatch.setattr(conv_tile, "TILES", [tile])
    return precision, tile


@pytest.fixture
def few_together(monkeypatch):
    """Join so few parts at once that it takes several launches."""
    monkeypatch.setattr(statistics, "TOGETHER", 3)


def backend(schedule="random"):
    return CudaBackend(device(schedule, capability=HOPPER))


def measured(way, x=(3, 17, 19, 8), filters=40, kind=Case):
    """Return a 3x3 convolution with a bias: of groups where the way is exact though bf16."""
    precision, tile = way
    groups = 2 if precision == "bf16" and not tile else 1
    x = (*x[:3], 6) if groups > 1 else x
    filters += filters % groups
    types = TensorType(x), TensorType((filters, x[3] // groups, 3, 3), "float32")
    types = *types, TensorType((filters,), "float32")
    op = Conv((1, 1), ONE, True, groups=groups, statistics=True)
    return kind(f"measured {x} to {filters}", op, types)


def moments(y):
    """Return mean and biased variance by channel, in float64."""
    y = y.astype(np.float64)
    return y.mean((0, 1, 2)), y.var((0, 1, 2))


def assert_those_of_what_is_stored(run):
    y, mean, variance = run.forward()
    expected = moments(y)
    deviation = np.sqrt(expected[1])
    assert (np.abs(mean - expected[0]) <= 1e-7 * np.abs(expected[0]) + 1e-6 * deviation).all()
    np.testing.assert_allclose(variance, expected[1], rtol=2e-6)


@pytest.mark.parametrize("filters", [40, 133, 6])
def test_statistics_are_those_of_what_is_stored(filters, way, few_together):
    """Many parts, the last of them with a few rows; columns of a tile that are no channels."""
    case = measured(way, filters=filters)
    guarded = GuardedBackend(backend())
    run = KernelRun(guarded, case, way[0])
    assert run.kernel.name.endswith("tensor cores" if way[1] else "exact")
    assert_those_of_what_is_stored(run)
    assert not guarded.memory.overruns()


class FarFromZero(Case):
    """Sums far from 0, the first pixel of the first picture far from all others."""

    def inputs(self, seed=0, dtype=np.float64):
        x, weight, bias = super().inputs(seed)
        x[0, :2, :2] *= 64
        bias = np.round(bias) + 512 * (1 + np.arange(bias.size) % 7)
        return [each.astype(dtype) for each in (x, weight * 2.0**-4, bias)]


def test_statistics_far_from_zero_keep_their_digits(way, few_together):
    assert_those_of_what_is_stored(KernelRun(backend(), measured(way, kind=FarFromZero), way[0]))


class TwoNeighbours(Case):
    """Sums of 4096 and the number next to it in the precision of the plan."""

    def inputs(self, seed=0, dtype=np.float64):
        x, weight, bias = super().inputs(seed)
        step = 2.0**-11 if self.name == "f32" else 32.0
        centre = np.zeros(weight.shape)
        centre[:, 0] = step
        drawn = (x > 0) * 1.0, centre, np.full(bias.shape, 4096.0)
        return [each.astype(dtype) for each in drawn]


@pytest.mark.parametrize("together", [3, 256])
def test_the_smallest_variance_that_numbers_can_have_is_exact(together, way, monkeypatch):
    """A mean in float32 would be as far from the true one as its two numbers from each other."""
    monkeypatch.setattr(statistics, "TOGETHER", together)
    precision, tile = way
    rows = (4, 21, 23, 8)
    op = Conv((1, 1), ((0, 0), (0, 0)), True, statistics=True)
    types = TensorType(rows), TensorType((24, 8, 1, 1), "float32"), TensorType((24,), "float32")
    if precision == "bf16" and not tile:
        monkeypatch.setattr("denet.backend.cuda.conv.on_tensor_cores", lambda *_: False)
    run = KernelRun(backend(), TwoNeighbours(precision, op, types), precision)
    y, _, variance = run.forward()
    assert len(np.unique(y)) == 2
    np.testing.assert_allclose(variance, moments(y)[1], rtol=2e-6)


def variants_of(way, case):
    """Return the key of the forward product, and the names of its variants: whole or in parts."""
    on = device(capability=HOPPER)
    asked = Tuning(on, {})
    KernelRun(CudaBackend(on, asked), case, way[0])
    key, (_, found) = next(iter(asked.asked.items()))
    return key, {variant.name: variant.parts for variant in found}


DEEP = (2, 9, 8, 64)  # windows of 576 numbers


@pytest.mark.parametrize("way", ["exact", "64x64", "128x64 by warpgroups"], indirect=True)
@pytest.mark.parametrize("kind", [Case, FarFromZero])
def test_every_variant_that_a_table_may_name_tells_what_is_stored(kind, way, few_together):
    """Those whose depth is in parts look at what was added."""
    case = measured(way, DEEP, kind=kind)
    key, variants = variants_of(way, case)
    assert {1, 2} <= {*variants.values()}
    for name in variants:
        on = device("random", capability=HOPPER)
        guarded = GuardedBackend(CudaBackend(on, Tuning(on, {key: name})))
        assert_those_of_what_is_stored(KernelRun(guarded, case, way[0]))
        assert not guarded.memory.overruns()


def test_the_map_is_looked_at_only_where_no_block_has_the_whole_depth(way):
    case = measured(way, (*DEEP[:3], 300))
    key, variants = variants_of(way, case)
    for name, parts in variants.items():
        on = RecordingDevice(HOPPER)
        KernelRun(CudaBackend(on, Tuning(on, {key: name})), case, way[0]).forward()
        launched = {source.name for source in on.launched}
        assert ("correlate_statistics" in launched) == (parts == 1)
        assert ({"statistics", "sum_parts"} <= launched) == (parts > 1)


@pytest.mark.parametrize("kind", [Case, FarFromZero])
@pytest.mark.parametrize("channels", [40, 21])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_channel_per_group_is_looked_at(precision, channels, kind, few_together):
    types = TensorType((3, 17, 19, channels)), TensorType((channels, 1, 3, 3), "float32")
    types = *types, TensorType((channels,), "float32")
    case = kind("depthwise", Conv((1, 1), ONE, True, groups=channels, statistics=True), types)
    guarded = GuardedBackend(backend())
    run = KernelRun(guarded, case, precision)
    assert run.kernel.name.endswith("depthwise")
    assert_those_of_what_is_stored(run)
    assert not guarded.memory.overruns()


class Constant(Case):
    """Channels of one number each, which the sums before they are stored are not."""

    def inputs(self, seed=0, dtype=np.float64):
        x, weight, bias = super().inputs(seed)
        return [each.astype(dtype) for each in (x, weight * 2.0**-30, np.abs(bias) * 999 + 1001.37)]


def test_a_channel_of_one_number_has_no_variance(way, few_together):
    """Not a little less than none either, whose root would be no number."""
    y, mean, variance = KernelRun(backend(), measured(way, kind=Constant), way[0]).forward()
    assert (y == y[0, 0, 0]).all() and (mean == y[0, 0, 0]).all() and not variance.any()


@pytest.mark.parametrize("x", [(1, 1, 1, 8), (1, 1, 3, 8), (5, 1, 1, 8)])
def test_maps_of_few_pixels(x, way):
    assert_those_of_what_is_stored(KernelRun(backend(), measured(way, x), way[0]))


def test_every_order_of_threads_gives_the_same_bits(way, few_together):
    runs = [KernelRun(backend(each), measured(way), way[0]).forward() for each in SCHEDULES]
    for other in runs[1:]:
        for one, two in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_output_is_that_without_statistics_and_so_is_what_is_computed_once_more(way):
    case = measured(way)
    run = KernelRun(backend(), case, way[0])
    y, mean, variance = run.forward()
    plain = Conv((1, 1), ONE, True, groups=case.op.groups)
    alone = KernelRun(backend(), Case("plain", plain, case.types), way[0])
    np.testing.assert_array_equal(alone.forward()[0], y)
    memory = run.backend.memory
    for output in run.outputs:
        memory.write(np.full(output.nbytes, 0xFF, np.uint8), output.reshape(-1).view(np.uint8))
    scratch = run._scratch(run.kernel.forward_scratch)
    run.kernel.repeat(run.inputs, run.outputs, run.saved, scratch)()
    np.testing.assert_array_equal(run._read(run.outputs[0], run.node.outputs[0].type), y)
    assert run.kernel.repeat_outputs == (1, 2)  # are as they were: nobody touches them
    assert all(np.isnan(memory.read(output)).all() for output in run.outputs[1:])
    assert np.isfinite(mean).all() and np.isfinite(variance).all()


class OneNan(Case):
    """One filter whose sums are no numbers."""

    def inputs(self, seed=0, dtype=np.float64):
        x, weight, bias = super().inputs(seed, dtype)
        bias[5] = np.nan
        return [x, weight, bias]


def test_nan_shows_in_its_channel_only(way):
    _, mean, variance = KernelRun(backend(), measured(way, kind=OneNan), way[0]).forward()
    for each in (mean, variance):
        assert (np.isnan(each) == (np.arange(40) == 5)).all()


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_batch_norm_with_given_statistics_gives_the_bits_of_one_that_looks(precision):
    shape = 3, 11, 13, 20
    types = [TensorType(shape), *[TensorType(shape[3:], "float32")] * 6]
    looks = KernelRun(
        backend(),
        Case("looks", BatchNorm(1e-5, "relu"), tuple(types[:5]), {4: "positive"}),
        precision,
    )
    y, mean, variance = looks.forward()

    class Given(MeasuredCase):
        def complete(self, inputs):
            return [*inputs[:5], mean, variance]

    op = BatchNorm(1e-5, "relu", statistics=True)
    given = KernelRun(backend(), Given("given", op, tuple(types), {4: "positive"}), precision)
    np.testing.assert_array_equal(given.forward()[0], y)
    for one, two in zip(given.backward()[:3], looks.backward()[:3], strict=True):
        np.testing.assert_array_equal(one, two)
    assert given.kernel.forward_scratch == 0


@pytest.mark.parametrize("shape", [(2, 37, 41, 5), (1, 9, 11, 133)])
def test_a_batch_norm_that_looks_joins_its_parts_in_several_launches(shape, few_together):
    types = TensorType(shape), *[TensorType(shape[3:], "float32")] * 4
    case = Case("BatchNorm", BatchNorm(1e-5), types, {4: "positive"})
    _, mean, variance = KernelRun(backend(), case, "f32").forward()
    expected = moments(case.inputs()[0])
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(variance, expected[1], rtol=2e-6)


def trained(saving, precision, schedule="forward"):
    """Return costs, gradients and running averages of two steps, and the kernels launched."""
    graph = residual_network(4, split=True)
    plan = Plan(graph, backend(schedule), "train", precision, recompute=saving.choice)
    plan.load(start_values(graph))
    found = []
    for step in (0, 1):
        costs = plan.run(batch_of(graph), KEYS + np.uint64(step))
        found.append({name: float(cost) for name, cost in costs.items()})
        memory = plan.memory
        found += [memory.read(each).tobytes() for each in (plan.gradients, plan.states)]
    return found, plan


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_what_is_computed_twice_takes_the_statistics_that_are_there(precision):
    """To the same bits, whatever is kept, also where convolutions run again."""
    (first, plan), *others = (trained(saving, precision) for saving in LADDER[:4])
    shared = [node for node in plan._graph.nodes if getattr(node.op, "statistics", False)]
    assert len(shared) == 6  # three convolutions and their batch norms
    for found, _ in others:
        assert found == first
    again = {step.kind for step in others[-1][1]._steps}
    assert {"Conv recompute", "BatchNorm recompute"} <= again


def test_a_short_batch_has_statistics_of_its_own():
    plans = []
    for count in (4, 3):
        graph = residual_network(count)
        share = plans[0] if plans else None
        plans.append(Plan(graph, backend(), "train", share=share))
        if not share:
            plans[0].load(start_values(graph))
    alone = Plan(residual_network(3), backend(), "train")
    alone.load(start_values(residual_network(4)))
    batch = batch_of(residual_network(3))
    plans[0].run(batch_of(residual_network(4)), KEYS)
    plans[0].load(start_values(residual_network(4)))
    costs = [float(each.run(batch, KEYS[:3])["cost"]) for each in (plans[1], alone)]
    assert costs[0] == costs[1]
    memory = alone.memory
    for name in ("gradients", "states"):
        one, two = (memory.read(getattr(each, name)) for each in (plans[0], alone))
        np.testing.assert_array_equal(one, two)


def test_scratch_is_a_small_part_of_what_is_written():
    case = convolution((16, 56, 56, 8), 64, (3, 3), 1, ONE, bias=False)
    op = Conv(case.op.stride, case.op.padding, statistics=True)
    run = KernelRun(backend(), Case("large", op, case.types), "bf16")
    written = 16 * 56 * 56 * 64 * 2
    packed = 64 * 8 * 9 * 2
    assert 0 < run.kernel.forward_scratch - packed < written / 12
