"""Batch norm on the device beyond the case table: many blocks, odd channels, far from 0."""

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.kernel_run import KernelRun, reference
from graph.cases import Case
from tolerance import assert_close

from denet.backend.cuda.backend import CudaBackend
from denet.bfloat16 import to_float32
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.tensor_type import TensorType

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

BACKEND = CudaBackend(device())
SHAPES = [
    (2, 37, 41, 5),  # many blocks of rows
    (3, 13, 16, 264),  # channels for several blocks
    (1, 9, 11, 133),  # a channel per thread, the last threads without
    (1, 1, 1, 7),
    (1, 1, 1, 1),
    (5, 1, 1, 36),
    (2, 9, 5, 15),  # 17 lanes
]

each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"])


def batch_norm(shape, activation=None, kind=Case):
    types = TensorType(shape), *[TensorType(shape[3:], "float32")] * 4
    return kind(f"BatchNorm {shape}", BatchNorm(1e-5, activation), types, {4: "positive"})


def results(run):
    return run.forward() + [run.backward()[index] for index in run.wanted]


@each_precision
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_equals_the_reference(shape, activation, precision):
    run = KernelRun(BACKEND, batch_norm(shape, activation), precision)
    outputs, gradients = reference(run.case)
    for actual, expected in zip(results(run), outputs + gradients[:3], strict=True):
        assert_close(actual, expected, precision)


@each_precision
@pytest.mark.parametrize("wanted", [(0,), (1, 2), (2,)])
def test_only_wanted_gradients_are_written(wanted, precision):
    run = KernelRun(BACKEND, batch_norm((3, 4, 5, 7), "relu"), precision, wanted=wanted)
    _, gradients = reference(run.case)
    run.forward()
    for index, gradient in enumerate(run.backward()):
        if index in wanted:
            assert_close(gradient, gradients[index], precision)
        else:
            assert gradient is None


@each_precision
def test_the_order_of_threads_changes_no_bit(precision):
    case = batch_norm((2, 19, 23, 20), "relu")
    first, *others = (
        results(KernelRun(CudaBackend(device(schedule)), case, precision)) for schedule in SCHEDULES
    )
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)


class Zero(Case):
    """Every y is 0."""

    def inputs(self, seed=0, dtype=np.float64):
        x, gamma, beta, *others = super().inputs(seed, dtype)
        return [x, 0 * gamma, 0 * beta, *others]


def test_a_relu_of_zeros_passes_no_gradient():
    run = KernelRun(BACKEND, batch_norm((2, 3, 5, 4), "relu", Zero), "f32")
    assert not run.forward()[0].any()
    assert not any(gradient.any() for gradient in run.backward()[:3])


class FarFromZero(Case):
    """Channels whose means are far from 0, and a first pixel far from all others."""

    def inputs(self, seed=0, dtype=np.float64):
        x, *vectors = super().inputs(seed)
        x += 100 * np.arange(x.shape[3])
        x[0, 0, 0] += 50
        return [array.astype(np.float32).astype(dtype) for array in (x, *vectors)]


def test_statistics_far_from_zero_keep_their_digits():
    """The largest mean is 2000 times the deviation: a sum of squares would have none left."""
    run = KernelRun(BACKEND, batch_norm((4, 33, 37, 21), kind=FarFromZero), "f32")
    x = run.case.inputs()[0]
    y, mean, variance = run.forward()
    # as near as the first pixel, 50 away, is to its neighbour in float32
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), rtol=2e-7, atol=4e-6)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2)), rtol=2e-6)
    outputs, gradients = reference(run.case)
    np.testing.assert_allclose(y, outputs[0], rtol=1e-4, atol=5e-4)
    for actual, expected in zip(run.backward()[:3], gradients[:3], strict=True):
        limit = 2e-4 * np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


def test_nan_shows():
    """A run that diverges is seen by its outputs, the ReLU's too."""
    run = KernelRun(BACKEND, batch_norm((2, 5, 5, 4), "relu", Diverged), "f32")
    y, mean, variance = run.forward()
    assert np.isnan(y[..., 2]).all() and np.isnan(mean[2]) and np.isnan(variance[2])
    assert np.isfinite(y[..., [0, 1, 3]]).all()


class Diverged(Case):
    """One NaN in the third channel."""

    def inputs(self, seed=0, dtype=np.float64):
        x, *vectors = super().inputs(seed, dtype)
        x[1, 3, 2, 2] = np.nan
        return [x, *vectors]


@each_precision
def test_what_is_computed_once_more_is_the_same_to_the_last_bit(precision):
    run = KernelRun(BACKEND, batch_norm((2, 9, 13, 20), "relu"), precision)
    first = run.forward()[0]
    written = run.outputs[0]
    nan = np.full(written.nbytes, 0xFF, np.uint8)
    run.backend.memory.write(nan, written.reshape(-1).view(np.uint8))
    run.kernel.repeat(run.inputs, run.outputs, run.saved, None)()
    again = run.backend.memory.read(written)
    again = again if precision == "f32" else to_float32(again)
    np.testing.assert_array_equal(again, first)
