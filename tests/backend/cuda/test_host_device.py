"""The device that is the processor: what it computes, and the faults of kernels that it tells."""

import numpy as np
import pytest
from backend.cuda.host_device import SCHEDULES, HostDevice, KernelError, unavailable
from backend.cuda.written import Written, run
from backend.guarded import GuardedMemory

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

each_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def floats(count):
    return np.full(count, np.nan, np.float32)


def kernel(body, parameters="float* y", name="run"):
    return f'extern "C" __global__ void {name}({parameters}) {{\n{body}\n}}\n'


def message(body, arguments, **how):
    with pytest.raises(KernelError) as error:
        run(body, arguments, **how)
    return str(error.value)


SUM = """
extern "C" __global__ void run(const float* x, float* y, int count) {
    SHARED(float, part, 4);
    SHARED(float, total, 1);
    float sum = 0.f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += x[i];
    for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    BARRIER;
    if (threadIdx.x == 127) total[0] = part[0] + part[1] + part[2] + part[3];
    __syncthreads();
    if (threadIdx.x == 5) y[blockIdx.x] = total[0] * (blockIdx.x + 1) + gridDim.x;
}
"""


def total(device, barrier="__syncthreads()"):
    x, y = np.random.default_rng(0).standard_normal(1000).astype(np.float32), floats(70)
    text = SUM.replace("BARRIER", barrier)
    run(text, [x, y, np.int32(1000)], device=device, blocks=70, threads=128)
    return x, y


@each_schedule
def test_a_sum_over_blocks_warps_and_lanes(schedule):
    x, y = total(HostDevice(schedule))
    expected = x.astype(np.float64).sum() * np.arange(1, 71) + 70
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_schedules_and_seeds_give_the_same_bits():
    devices = [HostDevice(schedule) for schedule in SCHEDULES]
    devices += [HostDevice("random", seed) for seed in range(1, 9)]
    results = [total(device)[1] for device in devices]
    assert all((each == results[0]).all() for each in results)


def test_a_missing_barrier_gives_other_results_under_some_schedule():
    right = total(HostDevice())[1]
    results = [total(HostDevice(schedule), barrier="")[1] for schedule in SCHEDULES]
    assert any(not np.array_equal(each, right) for each in results)


def test_a_missing_barrier_of_a_warp_shows():
    body = """
    SHARED(int, x, 32);
    x[threadIdx.x] = threadIdx.x;
    BARRIER;
    y[threadIdx.x] = x[31 - threadIdx.x];
    """

    def result(barrier, schedule):
        y = np.zeros(32, np.int32)
        text = kernel(body.replace("BARRIER", barrier), "int* y")
        run(text, [y], device=HostDevice(schedule))
        return (y == 31 - np.arange(32)).all()

    assert all(result("__syncwarp()", schedule) for schedule in SCHEDULES)
    assert not any(result("", schedule) for schedule in SCHEDULES)


@each_schedule
def test_every_block_of_a_grid_runs_once(schedule):
    y = np.zeros(61, np.int32)  # for each of 30 blocks: its threads, its turn; then the turns
    body = """
    int* mine = y + 2 * ((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
    atomicAdd(mine, 1);
    if (threadIdx.x == 0) mine[1] = atomicAdd(&y[60], 1);
    """
    run(kernel(body, "int* y"), [y], device=HostDevice(schedule), blocks=(5, 3, 2))
    counts, order = y[:-1].reshape(30, 2).T
    assert (counts == 32).all() and y[-1] == 30
    assert sorted(order) == list(range(30))
    assert (order == range(30)).all() == (schedule == "forward")


def test_a_random_schedule_differs_by_its_seed():
    text = kernel("y[threadIdx.x] = atomicAdd(&y[64], 1);", "int* y")
    orders = set()
    for seed in range(5):
        y = np.zeros(65, np.int32)
        run(text, [y], device=HostDevice("random", seed), threads=64)
        assert sorted(y[:64]) == list(range(64))
        orders.add(y.tobytes())
    assert len(orders) == 5


SHUFFLES = [
    ("__shfl_sync(~0u, x, 3)", lambda i: 3),
    ("__shfl_sync(~0u, x, 5, 4)", lambda i: i // 4 * 4 + 1),
    ("__shfl_up_sync(~0u, x, 2)", lambda i: i - 2 if i >= 2 else i),
    ("__shfl_up_sync(~0u, x, 1, 8)", lambda i: i - 1 if i % 8 else i),
    ("__shfl_down_sync(~0u, x, 16)", lambda i: i + 16 if i < 16 else i),
    ("__shfl_down_sync(~0u, x, 1, 8)", lambda i: i + 1 if i % 8 < 7 else i),
    ("__shfl_xor_sync(~0u, x, 5)", lambda i: i ^ 5),
    ("__ballot_sync(~0u, x % 3 == 0)", lambda i: sum(1 << lane for lane in range(0, 32, 3))),
    ("__any_sync(~0u, x == 7)", lambda i: 1),
    ("__all_sync(~0u, x == 7)", lambda i: 0),
    ("__all_sync(~0u, x < 32)", lambda i: 1),
    ("__syncthreads_count(x > 4)", lambda i: 54),
    ("__syncthreads_or(x == 9)", lambda i: 1),
    ("__syncthreads_and(x == 9)", lambda i: 0),
]


def exchange(word, name):
    body = f"""
    const int x = threadIdx.x % 32;
    for (int i = 0; i < 2; i++) y[i * 64 + threadIdx.x] = {word};
    """
    return kernel(body, "int* y", name)


EXCHANGES = "".join(exchange(word, f"run{i}") for i, (word, _) in enumerate(SHUFFLES))


@each_schedule
@pytest.mark.parametrize("number", range(len(SHUFFLES)), ids=[word for word, _ in SHUFFLES])
def test_lanes_exchange_as_the_manual_says(number, schedule):
    y = np.zeros((2, 2, 32), np.int32)
    run(EXCHANGES, [y], device=HostDevice(schedule), threads=64, name=f"run{number}")
    assert (y == [SHUFFLES[number][1](lane) for lane in range(32)]).all()


def test_threads_that_have_ended_hold_up_no_barrier():
    y = floats(64)
    body = """
    if (threadIdx.x >= 40) return;
    __syncthreads();
    y[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 8);
    """
    run(kernel(body), [y], threads=64)
    assert (y[:40] == 1).sum() == 32  # a lane that has ended has no value
    assert np.isnan(y[32:]).all()


def test_shared_memory_begins_as_nan_in_every_block():
    y = np.zeros(64, np.float32)
    body = "SHARED(float, x, 32);\ny[threadIdx.x + 32 * blockIdx.x] = x[threadIdx.x];\n"
    run(kernel(body + "x[threadIdx.x] = 1.f;"), [y], blocks=2)
    assert np.isnan(y).all()


def test_dynamic_shared_memory_has_the_size_of_the_launch():
    y = floats(32)
    body = """
    DYNAMIC_SHARED(memory);
    float* x = reinterpret_cast<float*>(memory);
    x[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = x[31 - threadIdx.x];
    """
    run(kernel(body), [y], shared=128)
    assert (y == 31 - np.arange(32)).all()
    assert "written from byte 1 behind an array of 124 bytes" in message(
        kernel(body), [y], shared=124
    )


FAULTS = [
    (
        "if (threadIdx.x < 8) __syncthreads();\nelse __syncwarp();",
        "thread 0 waits at __syncthreads, thread 8 at __syncwarp of line",
    ),
    (
        "if (threadIdx.x < 8) __syncthreads();\nelse __syncthreads();",
        "thread 8: at __syncthreads, while others wait at __syncthreads of line",
    ),
    ("__shfl_sync(1u, 1, 0);", "the mask must name all lanes"),
    (
        "SHARED(float, x, 8);\n(&x[0])[threadIdx.x / 31 * 25] = 0;",
        "written from byte 69 behind an array of 32 bytes in shared memory",
    ),
    (
        "SHARED(float, x, 8);\n(&x[0])[-static_cast<int>(threadIdx.x)] = 0;",
        "written from byte 1 before an array of 32 bytes in shared memory",
    ),
    ("SHARED(float, x, 31);\nx[threadIdx.x] = 0;", "thread 31: the index lies outside the array"),
    ("SHARED(float, x, 12289);\nx[0] = 0;", "49156 bytes of shared memory are more than a block"),
    (
        "*reinterpret_cast<uint4*>(y + threadIdx.x) = make_uint4(0, 0, 0, 0);",
        "thread 1: the address is no multiple of what its type asks for",
    ),
    ("y[0] = 1 << threadIdx.x + 9;", "thread 23: shifted by more bits than there are"),
    ("y[0] = 5 / threadIdx.x;", "thread 0: divided by zero"),
    ("y[0] = static_cast<float*>(nullptr)[threadIdx.x];", "read or wrote where no memory is"),
    ("if (threadIdx.x == 6 && blockIdx.x) __trap();", "block (1, 0, 0), thread 6: __trap"),
    ("volatile char x[70000];\nfor (auto& each : x) each = 0;", "more on its stack than"),
]


FAULTY = "".join(kernel(body, name=f"run{i}") for i, (body, _) in enumerate(FAULTS))
FAULTY += kernel("y[threadIdx.x] = 7.f;")


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[body for body, _ in FAULTS])
def test_faults_are_told(number):
    y = floats(64)
    assert FAULTS[number][1] in message(FAULTY, [y], blocks=2, name=f"run{number}")
    run(FAULTY, [y])  # what follows runs
    assert (y[:32] == 7).all()


@pytest.mark.parametrize(
    "body",
    [
        "for (int i = 0; i < threadIdx.x / 32; i++) __syncwarp();\n__syncthreads();",
        "volatile char x[60000];\nfor (auto& each : x) each = 0;",
    ],
)
def test_what_is_allowed_is_no_fault(body):
    run(kernel(body), [floats(1)], threads=128)


def test_the_line_of_a_fault_is_shown():
    found = message(kernel("\nif (threadIdx.x)\n    __trap();"), [floats(1)])
    assert found.endswith(": __trap();") and "line" in found


@pytest.mark.parametrize(("index", "where"), [(-1, "4 before"), (100, "4 behind")])
def test_writes_beyond_an_array_meet_its_guards(index, where):
    guarded, device = GuardedMemory(), HostDevice()
    y = guarded.allocate(400).view(np.float32)
    source = Written("port.cuh", "run", body=kernel("y[at] = 0;", "float* y, int at"))
    device.launch(source, (1, 1, 1), 32, [y, np.int32(index)])()
    assert guarded.overruns() == [f"memory of 400 bytes: written {where} it"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([floats(1)], "takes 2 arguments, got 1"),
        ([floats(1), np.int64(1)], "argument 1 is i4, got i8"),
        ([floats(1), np.uint32(1)], "argument 1 is i4, got u4"),
        ([floats(1), np.float32(1)], "argument 1 is i4, got f4"),
        ([np.int64(1), np.int32(1)], "argument 0 is P8, got i8"),
        ([floats(1), None], "argument 1 is i4, got P8"),
    ],
)
def test_arguments_must_be_of_the_parameters_types(arguments, expected):
    assert expected in message(kernel("", "const float* x, int count"), arguments)


def test_arguments_of_every_type_arrive():
    y = np.zeros(6, np.float64)
    body = "y[0] = x == nullptr; y[1] = i; y[2] = l; y[3] = u; y[4] = f; y[5] = d;"
    parameters = (
        "double* y, const float* x, int i, long long l, unsigned long long u, float f, double d"
    )
    numbers = [np.int32(-1), np.int64(-(1 << 40)), np.uint64(1 << 63), np.float32(0.5), 0.1]
    run(kernel(body, parameters), [y, None, *numbers[:4], np.float64(numbers[4])])
    assert y.tolist() == [1, -1, -(2.0**40), 2.0**63, 0.5, 0.1]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"blocks": 0}, "no grid of blocks"),
        ({"threads": 0}, "no number of threads"),
        ({"threads": 1025}, "no number of threads"),
        ({"shared": 233473}, "no size of dynamic shared memory"),
        ({"name": "walk"}, "no kernel is named walk"),
    ],
)
def test_launches_that_a_device_refuses_are_errors(how, expected):
    assert expected in message(kernel(""), [floats(1)], **how)


def test_a_text_that_does_not_compile_tells_the_line():
    found = message(kernel("y[0] = unheard_of;"), [floats(1)])
    assert "port.cuh: does not compile" in found and "unheard_of" in found


def test_kernels_that_a_define_leaves_out_are_no_error():
    y = floats(1)
    text = '#if 0\nextern "C" __global__ void other(float* y) {}\n#endif\n' + kernel("*y = 3.f;")
    run(text, [y])
    assert y[0] == 3
    assert "no kernel is named other" in message(text, [y], name="other")


def test_without_a_compiler_there_is_no_device(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "g++" in unavailable()
    with pytest.raises(KernelError, match="is not installed"):
        HostDevice()
