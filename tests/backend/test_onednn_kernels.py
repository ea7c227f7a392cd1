"""Every oneDNN kernel against the float64 reference of its op, row by row of the case table."""

import numpy as np
import pytest
from backend.convolutions import ONE, SMALL, TREACHEROUS, WIDE, convolution
from backend.kernel_run import KernelRun, reference
from graph.cases import CASES, STATISTICS, Case
from tolerance import assert_close

from denet.backend.onednn.library import OneDnnUnavailable, load
from denet.graph.graph import Node, Tensor
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.cast import Cast
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.graph.op.sparse_sample import SparseSample
from denet.graph.tensor_type import TensorType

try:
    from denet.backend.onednn.backend import OneDnnBackend

    BACKEND = OneDnnBackend()
except OneDnnUnavailable as reason:
    pytest.skip(str(reason), allow_module_level=True)

AVX512 = 0x27  # dnnl_cpu_isa_t; below it oneDNN has no bf16 convolutions
FULL = load().isa & AVX512 == AVX512
SERVED = (Activation, Add, BatchNorm, Concat, Conv, Deconv, Pool, PoolInverse, SparseSample)
UNSERVED = {
    ("Pool mean partial padded", "f32"),
    ("Pool mean partial padded", "bf16"),
    ("Pool max whole large map", "bf16"),
    ("Pool mean many windows over each pixel", "bf16"),
    *((case.name, precision) for case in STATISTICS for precision in ("f32", "bf16")),
}
each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"] if FULL else ["f32"])


def each_case(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_like_reference(run):
    outputs, gradients = reference(run.case)
    for actual, expected in zip(run.forward(), outputs, strict=True):
        assert_close(actual, expected, run.precision)
    if gradients:
        for index, gradient in enumerate(run.backward()):
            if index in run.wanted:
                assert_close(gradient, gradients[index], run.precision)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in place"])
@each_precision
@each_case([case for case in CASES if isinstance(case.op, SERVED)] + WIDE + SMALL)
def test_kernel_equals_reference(case, precision, in_place):
    run = KernelRun(BACKEND, case, precision, in_place)
    if FULL:
        assert (run.kernel.name == "numpy") == ((case.name, precision) in UNSERVED)
    assert "ref:" not in run.kernel.name
    assert_like_reference(run)


@each_precision
@each_case(TREACHEROUS)
def test_faults_of_onednn_are_kept_away(case, precision):
    assert_like_reference(KernelRun(BACKEND, case, precision))


@pytest.mark.skipif(not FULL, reason="needs bf16 instructions (AVX-512)")
@each_case(SMALL)
def test_patches_serve_small_maps_in_bf16_only(case):
    assert "patches" in KernelRun(BACKEND, case, "bf16").kernel.name
    assert "patches" not in KernelRun(BACKEND, case, "f32").kernel.name


@each_precision
def test_x_as_its_own_residual_is_not_overwritten(precision):
    types = TensorType((2, 5, 5, 16)), TensorType((16, 16, 3, 3), "float32")
    case = Case("skip", Conv((1, 1), ONE, residual=True), (*types, types[0]), training=False)
    x = Tensor(types[0], "x")
    inputs = [x, Tensor(types[1], "weight", "parameter"), x]
    node = Node(case.op, inputs, [Tensor(case.op.infer(*case.types)[0], "y")], "skip")
    assert not BACKEND.kernel(node, False, precision, case.run(), {}, ()).forward_in_place
    assert KernelRun(BACKEND, case, precision).kernel.forward_in_place == ((0, 2),)


@each_precision
def test_cast_rounds_to_nearest_even(precision):
    case = Case("Cast", Cast(), (TensorType((2, 3, 4, 5), "float32"),))
    run = KernelRun(BACKEND, case, precision, wanted=())
    assert run.kernel.name.startswith("oneDNN")
    assert (run.forward()[0] == case.inputs()[0]).all()


def batch_norm(shape):
    types = TensorType(shape), *[TensorType(shape[3:], "float32")] * 4
    return Case("BatchNorm", BatchNorm(1e-5, "relu"), types, {4: "positive"})


@each_precision
@pytest.mark.parametrize("wanted", [(0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("op", [Conv, Deconv, BatchNorm, "folded"])
def test_only_wanted_gradients_are_computed(op, wanted, precision):
    if op in (BatchNorm, "folded"):
        case = batch_norm((3, 4, 5, 7) if op is BatchNorm else (3, 4, 6, 12))
    else:
        case = convolution((2, 6, 5, 7), 9, (3, 3), 2, ONE, op)
    assert_like_reference(KernelRun(BACKEND, case, precision, wanted=wanted))


class FarFromZero(Case):
    """Batch norm of channels whose means are far from 0, each by another distance."""

    def inputs(self, seed=0, dtype=np.float64):
        x, *vectors = super().inputs(seed)
        x += 30 * np.arange(x.shape[3])
        return [array.astype(np.float32).astype(dtype) for array in (x, *vectors)]


def test_pixels_normalised_as_one_keep_the_digits_of_the_sums():
    """float64 is the truth, and the largest mean 330 times the deviation."""
    types = TensorType((8, 6, 8, 12)), *[TensorType((12,), "float32")] * 4
    case = FarFromZero("BatchNorm", BatchNorm(1e-5), types, {4: "positive"})
    run = KernelRun(BACKEND, case, "f32")
    assert run.kernel.name.endswith("4 pixels as one")
    inputs = case.inputs()
    outputs, saved = case.op.forward(case.run(), *inputs)
    gradients = case.op.backward(case.run(), inputs, outputs, saved, case.output_gradients())
    for found, expected in zip(
        run.forward() + run.backward()[:3], outputs + gradients[:3], strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("wanted", [(), (0, 1, 2)], ids=["frozen", "trained"])
@each_precision
def test_training_keeps_weights_exact(precision, wanted):
    case = convolution((2, 6, 5, 7), 9, (3, 3), 2, ONE)
    layout = KernelRun(BACKEND, case, precision, wanted=wanted).layout(1)
    plain = np.random.default_rng(1).standard_normal((9, 7, 3, 3)).astype(np.float32)
    stored = BACKEND.memory.allocate(4 * layout.size).view(layout.element_type)
    layout.pack(plain, stored)
    assert layout.element_type == np.float32
    assert (layout.unpack(stored) == plain).all()
    assert np.count_nonzero(stored) == plain.size  # the rest is padding


@each_precision
def test_gradients_leave_the_padding_of_weights_zero(precision):
    run = KernelRun(BACKEND, convolution((2, 6, 5, 7), 9, (3, 3), 1, ONE), precision)
    run.forward()
    run.backward()
    stored = run.stored_gradients[1]
    assert np.count_nonzero(stored) == 9 * 7 * 3 * 3


@each_precision
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("op", [Conv, Deconv])
def test_other_batch_sizes_use_the_layout_that_is_there(op, training, precision):
    def case(n):
        row = convolution((n, 8, 8, 40), 48, (3, 3), 1, ONE, op)
        return Case(row.name, row.op, row.types, training=training)

    first = KernelRun(BACKEND, case(8), precision)
    other = KernelRun(BACKEND, case(8), precision, wanted=())
    for layout in (first.layout(1), other.layout(1)):
        second = KernelRun(BACKEND, case(1), precision, layouts={1: layout})
        assert second.layout(1) is layout
        assert_like_reference(second)


@pytest.mark.parametrize("size", [1, 63, 64, 1000])
def test_allocated_memory_is_aligned_and_zero(size):
    memory = BACKEND.memory.allocate(size)
    assert memory.dtype == np.uint8 and memory.shape == (size,)
    assert memory.ctypes.data % 64 == 0
    assert not memory.any()


def test_two_runs_give_the_same_bits():
    case = convolution((8, 12, 12, 32), 48, (3, 3), 1, ONE)
    runs = [KernelRun(BACKEND, case, "f32") for _ in range(2)]
    results = [[*run.forward(), *run.backward()] for run in runs]
    for first, second in zip(*results, strict=True):
        assert (first == second).all()
