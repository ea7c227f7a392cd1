"""Kernels over maps where the case table does not reach: more than one block, vectors and tails,
numbers that are none, ties, keys of 64 bits, and any order of threads.
"""

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.cuda.test_cuda_kernels import assert_like_reference
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun
from graph.cases import Case

from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.cells import sample_grid, vector_size
from denet.backend.cuda.request import Unserved
from denet.backend.numpy.backend import NumpyBackend
from denet.bfloat16 import from_float32
from denet.graph.op.activation import ACTIVATIONS, Activation
from denet.graph.op.add import Add
from denet.graph.op.base import Run
from denet.graph.op.cast import Cast
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.concat import Concat
from denet.graph.op.crop import Crop
from denet.graph.op.crop_mirror import CropMirror
from denet.graph.op.dropout import Dropout
from denet.graph.op.first_channels import FirstChannels
from denet.graph.op.local_response import LocalResponse
from denet.graph.op.pad import Pad
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.graph.tensor_type import TensorType

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

BACKEND = CudaBackend(device())


class Keyed(Case):
    """A row with sample keys of 64 bits."""

    def run(self, seed=0):
        rng = np.random.default_rng(seed)
        n = self.types[0].shape[0]
        return Run(self.training, rng.integers(0, 1 << 64, n, np.uint64, endpoint=False))


def case(op, *shapes, make=Case, domain="normal", training=True, dtype="real"):
    types = tuple(TensorType(shape, dtype) for shape in shapes)
    name = f"{op} of {', '.join(map(str, shapes))} {dtype}"
    return make(name, op, types, {0: domain}, training)


POOLS = [
    ((2, 13, 11, 24), (3, 3), (2, 2), 1, False),
    ((3, 12, 10, 16), (2, 2), (2, 2), 0, False),
    ((1, 18, 16, 21), (3, 2), (2, 3), 1, True),
    ((2, 9, 8, 40), (2, 3), (3, 5), 0, False),  # strides beyond the window
    ((2, 7, 7, 72), (7, 7), (7, 7), 0, False),
    ((1, 11, 10, 33), (8, 6), (4, 5), 2, True),
]

WIDE = [
    *[
        case(Pool(mode, *geometry), x, domain="tiled")
        for mode in ("max", "mean")
        for x, *geometry in POOLS
    ],
    case(Pool("mean", (6, 6), (3, 3), 8), (1, 5, 6, 3)),  # windows that see padding alone
    *[case(Activation(kind), (2, 9, 11, 13)) for kind in ACTIVATIONS],
    *[case(Activation(kind), (2, 3, 5, 7), dtype="float32") for kind in ("softmax", "tanh")],
    case(Activation("softmax"), (2, 3, 5, 1000)),
    case(Cast(), (3, 9, 11, 13), dtype="float32"),
    case(Add(), (2, 3, 5, 7), (2, 3, 5, 7)),
    case(Concat(), (2, 9, 5, 16), (2, 9, 5, 8), (2, 9, 5, 24)),
    case(Concat(), (2, 9, 5, 16), (2, 9, 5, 12), (2, 9, 5, 20)),  # vectors in f32 alone
    case(FirstChannels(16), (2, 9, 5, 40)),
    case(FirstChannels(13), (2, 9, 5, 40)),
    case(Pad(2, 1, 0, 3), (2, 9, 7, 16)),
    case(Pad(0, 1, 2, 0), (3, 13, 11, 5)),
    case(Crop(1, 2, 7, 5), (2, 9, 8, 24)),
    case(Crop(2, 0, 6, 8, "float32"), (2, 9, 8, 24)),
    case(CropMirror(9, 7, 0.5, 0.5, 5), (9, 12, 11, 8), make=Keyed),
    case(CropMirror(9, 7, 1.0, 0.0, 5), (3, 9, 20, 3), make=Keyed),
    case(CropMirror(4, 5, 0.3, 0.6, 1), (3, 9, 8, 8), make=Keyed, training=False),
    case(Dropout(0.3, 9), (3, 9, 11, 16), make=Keyed),
    case(Dropout(0.3, 9), (3, 17, 19, 7), make=Keyed),
    case(Dropout(0.3, 9), (3, 3, 7, 4), make=Keyed),  # half a byte of decisions at the end
    case(Dropout(0.0, 9), (2, 3, 3, 3), make=Keyed),
    case(PoolInverse(2), (2, 7, 6, 24)),
    case(PoolInverse(3), (2, 9, 11, 5)),
    case(LocalResponse(5, 2, 0.5, 0.75, 2), (2, 4, 3, 96)),
    case(LocalResponse(9, 1, 0.5, 0.75), (1, 3, 40, 6)),  # no channel lacks a neighbour
    case(ClassProbability(), (2, 3, 4, 300), dtype="float32"),
    case(ClassProbability(), (2, 1, 1, 10)),
]

each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"])


@each_precision
@pytest.mark.parametrize("row", WIDE, ids=lambda row: row.name)
def test_kernel_equals_reference(row, precision):
    guarded = GuardedBackend(BACKEND)
    assert_like_reference(KernelRun(guarded, row, precision))
    assert not guarded.memory.overruns()


@each_precision
@pytest.mark.parametrize("schedule", SCHEDULES[1:])
@pytest.mark.parametrize(
    "row",
    [
        case(Activation("softmax"), (2, 3, 5, 70)),
        case(ClassProbability(), (2, 3, 4, 70), dtype="float32"),
        case(Pool("mean", (9, 9), (9, 9)), (2, 9, 9, 40)),
    ],
    ids=lambda row: row.name,
)
def test_any_order_of_threads_gives_the_same_bits(row, schedule, precision):
    results = []
    for each in (device(), device(schedule, seed=3)):
        run = KernelRun(CudaBackend(each), row, precision)
        results.append([*run.forward(), *(run.backward() if run.wanted else ())])
    for first, second in zip(*results, strict=True):
        assert (first == second).all()


class Ties(Case):
    """Maps of few values, among them NaN and the infinities."""

    def inputs(self, seed=0, dtype=np.float64):
        values = np.array([-np.inf, -1, 0, 1, 2, np.inf, np.nan])
        chances = [0.2, 0.2, 0.2, 0.2, 0.1, 0.05, 0.05]
        rng = np.random.default_rng(seed)
        return [rng.choice(values, self.types[0].shape, p=chances).astype(dtype)]


@each_precision
@pytest.mark.parametrize(("x", "size", "stride", "padding", "partial"), POOLS)
def test_ties_and_nan_of_the_maximum_go_where_numpy_puts_them(
    x, size, stride, padding, partial, precision
):
    row = case(Pool("max", size, stride, padding, partial), x, make=Ties)
    ours, numpys = (KernelRun(each, row, precision) for each in (BACKEND, NumpyBackend()))
    np.testing.assert_array_equal(ours.forward(), numpys.forward())
    assert (BACKEND.memory.read(ours.saved[0]) == numpys.saved[0]).all()
    limit = 1e-6 if precision == "f32" else 1e-2
    np.testing.assert_allclose(ours.backward(), numpys.backward(), rtol=limit, atol=limit)


@pytest.mark.parametrize("kind", sorted(set(ACTIVATIONS) - {"softmax"}))
def test_activations_pass_nan_on_and_bear_any_size(kind):
    class Extremes(Case):
        def inputs(self, seed=0, dtype=np.float64):
            x = np.array([np.nan, np.inf, -np.inf, 1e4, -1e4, 90, -90, 20, -20, 1e-6, -1e-6, 0])
            return [x.reshape(self.types[0].shape).astype(dtype)]

    row = case(Activation(kind), (1, 2, 2, 3), make=Extremes)
    with np.errstate(over="ignore", invalid="ignore"):
        (expected,), _ = row.op.forward(row.run(), *row.inputs())
    (found,) = KernelRun(BACKEND, row, "f32").forward()
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-37)  # 0 below: no denormals


def test_dropout_keeps_exactly_what_the_reference_keeps():
    row = case(Dropout(0.4, 3), (4, 17, 19, 7), make=Keyed)
    run = KernelRun(BACKEND, row, "f32")
    kept = run.forward()[0] != 0
    x = np.ones(row.types[0].shape, np.float32)
    (_,), (mask,) = row.op.forward(row.run(), x)
    assert (kept == (mask == 1)).all()
    saved = BACKEND.memory.read(run.saved[0])
    bits = np.unpackbits(saved, axis=1, bitorder="little")[:, : 17 * 19 * 7]
    assert (bits.reshape(mask.shape) == mask).all()


def test_bf16_is_rounded_as_numpy_rounds_it():
    """To even where it lies between two; what is no number stays none, what overflows does."""
    bits = np.arange(1 << 16, dtype=np.uint32)[:, None] << 16 | [0x0000, 0x7FFF, 0x8000, 0x8001]
    values = bits.astype(np.uint32).view(np.float32).reshape(1, 256, 256, 4)

    class Bits(Case):
        def inputs(self, seed=0, dtype=np.float64):
            return [values]

    row = case(Cast(), values.shape, dtype="float32", make=Bits)
    run = KernelRun(BACKEND, row, "bf16", wanted=())
    run.forward()
    np.testing.assert_array_equal(BACKEND.memory.read(run.outputs[0]), from_float32(values))


def test_large_batches_are_refused_where_a_grid_ends():
    assert sample_grid(65535, 1) == (1, 65535, 1)
    with pytest.raises(Unserved, match="a batch of 65536"):
        sample_grid(65536, 1)


def test_vectors_need_whole_numbers_of_them():
    assert vector_size(2, 16, 8) == 8
    assert vector_size(2, 16, 12) == 1
    assert vector_size(4, 16, 12, 0) == 4
