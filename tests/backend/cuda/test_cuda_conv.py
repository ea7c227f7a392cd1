"""The convolutions of the CUDA backend where the case table does not reach."""

from functools import cache

import numpy as np
import pytest
from backend.convolutions import ONE, SMALL, THREE, TREACHEROUS, TWO, WIDE, convolution
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun, reference
from graph.cases import CASES, Case
from tolerance import assert_close

from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.conv_tile import HOPPER, TILES
from denet.backend.cuda.tuning import Tuning, candidates
from denet.graph.graph import Node, Tensor
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.tensor_type import TensorType

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)


@cache
def backend_of(capability, schedule="random"):
    return CudaBackend(device(schedule, capability=capability))


BACKEND = backend_of(80)
WARPGROUPS = [tile for tile in TILES if tile.warpgroups]
WAYS = {"f32": ("f32", 80), "bf16": ("bf16", 80), "bf16 by warpgroups": ("bf16", HOPPER)}

each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"])


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Return a precision, and the capability of a device that computes in a way of its own."""
    precision, capability = WAYS[request.param]
    if capability == HOPPER:
        use(monkeypatch, WARPGROUPS)
    return precision, capability


def use(monkeypatch, tiles):
    monkeypatch.setattr("denet.backend.cuda.conv_tile.TILES", tiles)


def each_case(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_like_reference(run, precision=None):
    assert run.kernel.name.startswith("cuda")
    outputs, gradients = reference(run.case)
    for actual, expected in zip(run.forward(), outputs, strict=True):
        assert_close(actual, expected, precision or run.precision)
    if gradients:
        for index, gradient in enumerate(run.backward()):
            if index in run.wanted:
                assert_close(gradient, gradients[index], precision or run.precision)


def fused(shape):
    types = TensorType(shape), TensorType((shape[3], shape[3], 3, 3), "float32")
    op = Conv((1, 1), ONE, True, True, "relu")
    bias = TensorType(shape[3:], "float32")
    return Case(f"fused {shape}", op, (*types, bias, types[0]), training=False)


def grouped(x, filters, groups):
    types = TensorType(x), TensorType((filters, x[3] // groups, 3, 3), "float32")
    types += (TensorType((filters,), "float32"),)
    op = Conv((2, 1), ONE, True, groups=groups)
    return Case(f"{groups} groups {x} to {filters}", op, types)


TABLE = [case for case in CASES if type(case.op) in (Conv, Deconv)]
MORE = [
    grouped((2, 9, 8, 48), 80, 2),  # channels of a group that fill vectors
    grouped((2, 9, 8, 48), 16, 2),
    grouped((1, 9, 8, 42), 15, 3),
    convolution((3, 30, 11, 8), 16, (3, 3), 1, ONE),  # enough pixels for parts
    convolution((2, 11, 13, 24), 16, (2, 3), (1, 2), ((0, 1), (2, 0)), Deconv),
    fused((2, 7, 9, 40)),
    fused((1, 6, 5, 19)),
]


@each_case(TABLE + WIDE + SMALL + TREACHEROUS + MORE)
def test_kernel_equals_reference(case, way):
    precision, capability = way
    guarded = GuardedBackend(backend_of(capability, "random"))
    assert_like_reference(KernelRun(guarded, case, precision))
    assert not guarded.memory.overruns()


@each_case([MORE[0], MORE[3], MORE[4], WIDE[5]])
def test_every_schedule_gives_the_same_bits(case, way):
    precision, capability = way
    runs = [KernelRun(backend_of(capability, each), case, precision) for each in SCHEDULES]
    first, *others = [[*run.forward(), *run.backward()] for run in runs]
    for other in others:
        for expected, found in zip(first, other, strict=True):
            assert (expected == found).all()


@each_case([fused((2, 7, 9, 40))])
@each_precision
def test_residual_is_overwritten_in_place(case, precision):
    run = KernelRun(BACKEND, case, precision, in_place=True)
    assert_like_reference(run)
    assert run.outputs[0] is run.inputs[3]


@each_precision
def test_x_as_its_own_residual_is_not_overwritten(precision):
    case = fused((1, 4, 4, 8))
    x, weight, bias = (Tensor(type_, "x") for type_ in case.types[:3])
    node = Node(case.op, [x, weight, bias, x], [Tensor(case.types[0], "y")], "skip")
    kernel = BACKEND.kernel(node, False, precision, case.run(), {}, ())
    assert kernel.name.startswith("cuda") and not kernel.forward_in_place


@pytest.mark.parametrize("wanted", [(0,), (1,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("op", [Conv, Deconv])
@each_precision
def test_only_wanted_gradients_are_computed(op, wanted, precision):
    case = convolution((2, 6, 5, 7), 9, (3, 3), 2, ONE, op)
    assert_like_reference(KernelRun(BACKEND, case, precision, wanted=wanted))


@each_case([WIDE[5], MORE[0], MORE[3], WIDE[-2]])
def test_float32_results_of_bf16_inputs_keep_their_digits(case):
    run = KernelRun(CudaBackend(device(capability=80)), case, "bf16")
    assert run.kernel.name.endswith("tensor cores")
    _, gradients = reference(case)
    run.forward()
    for found, expected in zip(run.backward()[1:], gradients[1:], strict=True):
        assert_close(found, expected, "f32")


def test_float32_input_keeps_its_digits_in_bf16():
    types = TensorType((2, 5, 6, 8), "float32"), TensorType((16, 8, 3, 3), "float32")
    case = Case("float32", Conv((1, 1), ONE), types)
    assert_like_reference(KernelRun(BACKEND, case, "bf16"), "f32")


class OneNan(Case):
    def inputs(self, seed=0, dtype=np.float64):
        x, *others = super().inputs(seed, dtype)
        x[0, 2, 3, 1] = np.nan
        return [x, *others]


def test_nan_passes_the_relu(way):
    precision, capability = way
    case = fused((1, 5, 6, 8))
    case = OneNan(case.name, case.op, case.types, training=False)
    found = np.isnan(KernelRun(backend_of(capability, "random"), case, precision).forward()[0])
    expected = np.zeros((1, 5, 6, 8), bool)
    expected[:, 1:4, 2:5] = True
    assert (found == expected).all()


def test_tensor_cores_serve_bf16_but_where_groups_fill_no_chunks():
    def way(case, precision="bf16"):
        backend = CudaBackend(device(capability=80))
        return KernelRun(backend, case, precision).kernel.name.rpartition(", ")[2]

    assert way(WIDE[0]) == way(MORE[0]) == way(MORE[4]) == "tensor cores"
    assert way(WIDE[0], "f32") == way(MORE[2]) == "exact"


TILED = [
    convolution((2, 11, 9, 24), 72, (3, 3), 1, ONE),
    convolution((2, 5, 6, 40), 24, (4, 4), 2, ONE, Deconv),
    fused((2, 9, 9, 72)),
]
DEEP = convolution((1, 21, 20, 48), 136, (3, 3), 1, ONE)  # fills all stages, and again


@each_case(TILED)
@pytest.mark.parametrize("tile", TILES, ids=lambda tile: tile.name)
def test_every_tile_equals_reference(tile, case, monkeypatch):
    use(monkeypatch, [tile])
    guarded = GuardedBackend(backend_of(HOPPER, "random"))
    assert_like_reference(KernelRun(guarded, case, "bf16"))
    assert not guarded.memory.overruns()


def depthwise(x, size, stride=(1, 1), padding=ONE, **settings):
    types = TensorType(x), TensorType((x[3], 1, *size), "float32")
    types += (TensorType((x[3],), "float32"),)
    if settings.get("residual"):
        types += (types[0],)
    op = Conv(stride, padding, True, groups=x[3], **settings)
    name = f"depthwise {x} by {size} / {stride} {settings}"
    return Case(name, op, types, training=not settings.get("residual"))


DEPTHWISE = [
    depthwise((2, 9, 11, 16), (3, 3)),
    depthwise((2, 10, 7, 24), (3, 3), (2, 2)),
    depthwise((1, 8, 9, 7), (5, 5), (1, 2), TWO),
    depthwise((1, 9, 8, 320), (7, 7), (3, 2), THREE),  # two blocks of channels, two of taps
    depthwise((2, 13, 12, 40), (2, 9), (3, 1), ((0, 1), (4, 2))),
    depthwise((2, 5, 4, 8), (1, 1), (2, 2), ((0, 0), (0, 0))),  # phases without a tap
    depthwise((3, 40, 37, 8), (3, 3)),  # enough pixels for parts
    depthwise((2, 6, 7, 24), (3, 3), residual=True, activation="relu"),
    depthwise((2, 6, 7, 5), (3, 3), residual=True, activation="relu"),
    depthwise((2, 6, 7, 8), (3, 3), dtype="float32"),  # bf16 in, float32 out
]


@each_case(DEPTHWISE)
@each_precision
def test_a_channel_per_group_equals_reference(case, precision):
    guarded = GuardedBackend(BACKEND)
    run = KernelRun(guarded, case, precision)
    assert run.kernel.name == "cuda convolution, depthwise"
    assert_like_reference(run)
    assert not guarded.memory.overruns()


@each_case([DEPTHWISE[3], DEPTHWISE[6]])
@each_precision
def test_a_channel_per_group_gives_the_same_bits(case, precision):
    test_every_schedule_gives_the_same_bits(case, (precision, 80))


class InParts(Tuning):
    """Takes as many parts as there may be, in every product, and keeps how many."""

    parts = ()

    def choose(self, product, tiles):
        variants = candidates(product, tiles, self.device)
        chosen = max(variants, key=lambda variant: variant.parts)
        self.parts += (chosen.parts,)
        return chosen


DIVIDED = [
    convolution((1, 7, 6, 48), 136, (3, 3), 1, ONE),
    convolution((2, 9, 7, 43), 140, (4, 3), (2, 1), ((1, 2), (0, 1))),  # phases of unequal depth
    convolution((2, 5, 6, 136), 41, (5, 5), 3, TWO, Deconv),
    convolution((1, 5, 4, 272), 32, (1, 1), 2),  # phases without a tap
    grouped((2, 8, 7, 96), 272, 2),
    grouped((1, 9, 8, 87), 45, 3),
    fused((2, 7, 9, 72)),
    fused((1, 6, 5, 51)),
]


def in_parts(capability, schedule):
    on = device(schedule, capability=capability)
    return CudaBackend(on, InParts(on))


@each_case(DIVIDED)
def test_products_in_parts_equal_reference(case, way):
    precision, capability = way
    guarded = GuardedBackend(in_parts(capability, "random"))
    run = KernelRun(guarded, case, precision)
    parts = guarded._backend._tuning.parts
    assert len(parts) == 1 + len({0, 1} & {*run.wanted}) and max(parts[:2]) > 1
    assert_like_reference(run)
    assert not guarded.memory.overruns()


@each_case([DIVIDED[1], DIVIDED[2], DIVIDED[6]])
def test_parts_are_added_in_the_same_order_by_every_schedule(case, way):
    precision, capability = way
    runs = [KernelRun(in_parts(capability, each), case, precision) for each in SCHEDULES]
    first, *others = [run.forward() + (run.backward() if run.wanted else []) for run in runs]
    for other in others:
        for expected, found in zip(first, other, strict=True):
            assert (expected == found).all()


# what multiplies while copies are under way: every order of the warps
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("tile", WARPGROUPS, ids=lambda tile: tile.name)
def test_warpgroups_equal_reference_in_every_order(tile, schedule, monkeypatch):
    use(monkeypatch, [tile])
    assert_like_reference(KernelRun(backend_of(HOPPER, schedule), DEEP, "bf16"))


@pytest.mark.parametrize("tile", WARPGROUPS, ids=lambda tile: tile.name)
def test_a_processor_holds_the_resident_blocks(tile):
    assert tile.resident * (tile.shared + 1024) <= 228 * 1024
    assert tile.resident * tile.threads * tile.warp_rows * tile.warp_columns // 32 <= 1 << 15
    assert tile.stages >= 3


@pytest.mark.parametrize("op", [Conv, Deconv])
def test_weights_for_prediction_are_stored_as_tensor_cores_read_them(op):
    row = convolution((2, 6, 5, 7), 9, (3, 4), 2, ONE, op)
    case = Case(row.name, op((2, 2), ONE, True), row.types, training=False)
    run = KernelRun(CudaBackend(device(capability=80)), case, "bf16")
    layout = run.layout(1)
    assert layout.element_type == np.uint16
    plain = case.inputs(dtype=np.float32)[1]
    stored = np.empty(layout.size, layout.element_type)
    layout.pack(plain, stored)
    assert (layout.unpack(stored) == plain).all()  # bf16 holds them
    assert np.count_nonzero(stored) == plain.size
    assert_like_reference(run)


def test_what_an_int_cannot_count_is_left_to_the_reference():
    types = TensorType((1, 1 << 16, 1 << 15, 1)), TensorType((1, 1, 1, 1), "float32")
    for op, x in (Conv(), types[0]), (Conv((300, 300)), TensorType((1, 2, 2, 1))):
        node = Node(op, [Tensor(x, "x"), Tensor(types[1], "w", "parameter")], [], "large")
        node.outputs = [Tensor(op.infer(x, types[1])[0], "y")]
        kernel = BACKEND.kernel(node, False, "bf16", None, {}, ())
        assert kernel.name == "numpy on the processor"


@pytest.mark.parametrize("wanted", [(), (0, 1, 2)], ids=["frozen", "trained"])
@pytest.mark.parametrize("op", [Conv, Deconv])
@each_precision
def test_training_keeps_weights_exact(op, precision, wanted):
    case = convolution((2, 6, 5, 7), 9, (3, 4), 2, ONE, op)
    layout = KernelRun(BACKEND, case, precision, wanted=wanted).layout(1)
    plain = np.random.default_rng(1).standard_normal((9, 7, 3, 4)).astype(np.float32)
    stored = np.empty(layout.size, layout.element_type)
    layout.pack(plain, stored)
    assert layout.element_type == np.float32
    assert (layout.unpack(stored) == plain).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("op", [Conv, Deconv])
@each_precision
def test_other_batch_sizes_use_the_layout_that_is_there(op, training, precision):
    def case(n):
        row = convolution((n, 5, 4, 20), 12, (3, 3), 1, ONE, op)
        return Case(row.name, row.op, row.types, training=training)

    first = KernelRun(BACKEND, case(2), precision)
    other = KernelRun(BACKEND, case(2), precision, wanted=())
    for layout in (first.layout(1), other.layout(1)):
        second = KernelRun(BACKEND, case(1), precision, layouts={1: layout})
        assert second.layout(1) is layout
        assert_like_reference(second)


def test_parts_of_a_gradient_take_bounded_memory():
    def scratch(x, filters, size):
        case = convolution(x, filters, size, bias=False)
        return KernelRun(BACKEND, case, "f32").kernel.backward_scratch

    assert scratch((128, 1, 1, 25088), 4096, (1, 1)) == 0  # 392 MiB of gradient
    # two tiles, and two blocks for each processor: as many parts as processors
    assert scratch((8, 128, 128, 8), 8, (3, 3)) == device().processors * 4 * 8 * 8 * 9
