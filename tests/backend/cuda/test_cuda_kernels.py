"""Every CUDA kernel against the float64 reference of its op."""

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, unavailable
from backend.cuda.host_device import HostDevice
from backend.guarded import GuardedBackend
from backend.kernel_run import KernelRun, reference
from graph.cases import CASES
from tolerance import assert_close

from denet.backend.cuda.backend import KERNELS, CudaBackend
from denet.errors import UsageError
from denet.graph.op.gather_rows import GatherRows
from denet.graph.op.registry import op_types
from denet.graph.op.scatter_columns import ScatterColumns
from denet.graph.op.shared_batch_norm import SharedBatchNorm

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

BACKENDS = [CudaBackend(device(schedule)) for schedule in SCHEDULES]

ON_PROCESSOR = (GatherRows, ScatterColumns, SharedBatchNorm)  # ranks exchange within them

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"])


def assert_like_reference(run):
    where = "numpy on the processor" if isinstance(run.case.op, ON_PROCESSOR) else "cuda"
    assert run.kernel.name.startswith(where)
    outputs, gradients = reference(run.case)
    for actual, expected in zip(run.forward(), outputs, strict=True):
        assert_close(actual, expected, run.precision)
    if gradients:
        for index, gradient in enumerate(run.backward()):
            if index in run.wanted:
                assert_close(gradient, gradients[index], run.precision)


def test_every_op_has_a_kernel():
    assert set(op_types().values()) == {*KERNELS, *ON_PROCESSOR}


@each_precision
@each_case
def test_kernel_equals_reference(case, precision):
    guarded = GuardedBackend(BACKENDS[0])
    assert_like_reference(KernelRun(guarded, case, precision))
    assert not guarded.memory.overruns()


@each_precision
@each_case
def test_kernel_in_place_equals_reference(case, precision):
    assert_like_reference(KernelRun(BACKENDS[1], case, precision, in_place=True))


@each_precision
@each_case
def test_kernel_gives_the_same_bits_in_whatever_order_threads_run(case, precision):
    def results(backend):
        run = KernelRun(backend, case, precision)
        arrays = run.forward() + (run.backward() if run.wanted else [])
        return [array for array in arrays if array is not None]

    first, *others = [results(backend) for backend in BACKENDS]
    for other in others:
        for one, another in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, another)


def test_bf16_is_refused_where_the_device_lacks_it():
    old = CudaBackend(HostDevice(capability=75))
    assert old.auto_precision() == "f32"
    assert KernelRun(old, CASES[0], "f32").kernel.name.startswith("cuda")
    with pytest.raises(UsageError, match="compute capability 8.0, this one has 7.5: use --prec"):
        KernelRun(old, CASES[0], "bf16")
