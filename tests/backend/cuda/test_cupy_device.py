"""The device of CuPy on a GPU: memory, copies in order, kernels that are compiled as they come."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from backend.cuda.devices import GPU

from denet.backend.cuda import source
from denet.backend.cuda.cupy_device import CupyDevice
from denet.backend.cuda.nvrtc import CompileError
from denet.backend.cuda.source import Source
from denet.errors import OutOfMemoryError, UsageError

try:
    DEVICE = CupyDevice(int(GPU or 0))
except (UsageError, OutOfMemoryError) as reason:
    pytest.skip(f"needs a GPU: {reason}", allow_module_level=True)

ADD = Source("add.cu", "add", (("RELU", 1), ("THREADS", 256), ("real", "float")))
COUNT = 1027  # more than one block, and no whole number of vectors


def test_memory_is_zero_and_aligned():
    for size in (1, 255, 256, 100_003):
        memory = DEVICE.allocate(size)
        assert memory.shape == (size,) and memory.dtype == np.uint8
        assert DEVICE.address(memory) % 256 == 0
        assert not DEVICE.read(memory).any()
    assert DEVICE.allocate(0).size == DEVICE.read(DEVICE.allocate(0)).size == 0


def test_too_much_memory_is_a_memory_error_and_no_harm():
    with pytest.raises(MemoryError, match="GB on the GPU"):
        DEVICE.allocate(1 << 50)
    assert not DEVICE.read(DEVICE.allocate(16)).any()


def test_what_is_written_comes_back_in_the_order_of_the_calls():
    memory = DEVICE.allocate(4 * COUNT * 5).view(np.float32).reshape(COUNT, 5)
    for step in range(20):
        host = np.random.default_rng(step).standard_normal((5, COUNT)).astype(np.float32).T
        expected = host.copy()
        DEVICE.write(host, memory)
        host[...] = 0  # the device has its own copy
        np.testing.assert_array_equal(DEVICE.read(memory), expected)
        np.testing.assert_array_equal(DEVICE.read(memory[3:7]), expected[3:7])


def test_a_launch_sees_what_was_written_before_it():
    a, b, y = (DEVICE.allocate(4 * COUNT).view(np.float32) for _ in range(3))
    add = DEVICE.launch(ADD, (2, 1, 1), 256, [a, b, y, np.int64(COUNT)])
    for seed in range(3):
        left, right = np.random.default_rng(seed).standard_normal((2, COUNT)).astype(np.float32)
        DEVICE.write(left, a)
        DEVICE.write(right, b)
        add()
        np.testing.assert_array_equal(DEVICE.read(y), np.maximum(left + right, 0))


SHARED = """
extern "C" __global__ void turn(int* y, int* unused) {
    extern __shared__ int kept[];
    for (int i = threadIdx.x; i < COUNT; i += blockDim.x) kept[i] = i;
    __syncthreads();
    for (int i = threadIdx.x; i < COUNT; i += blockDim.x) y[i] = kept[COUNT - 1 - i] + !unused;
}
"""


def test_dynamic_shared_memory_over_48_kb_and_null_pointers(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    (tmp_path / "turn.cu").write_text(SHARED)
    y = DEVICE.allocate(60_000).view(np.int32)
    kernel = Source("turn.cu", "turn", (("COUNT", y.size),))
    DEVICE.launch(kernel, (1, 1, 1), 128, [y, None], 60_000)()
    np.testing.assert_array_equal(DEVICE.read(y), np.arange(y.size)[::-1] + 1)


def test_a_fault_of_a_kernel_is_told_by_its_first_call(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    (tmp_path / "faulty.cu").write_text("missing")
    call = DEVICE.launch(Source("faulty.cu", "faulty"), (1, 1, 1), 1, [])
    with pytest.raises(CompileError, match="faulty.cu"):
        call()


def test_a_number_that_no_gpu_has_is_refused():
    with pytest.raises(UsageError, match="there is no such GPU: give"):
        CupyDevice(999)


def test_streams_beside_each_other_wait_for_marks():
    """Sums that each stream makes in its turn are right to the last."""
    beside = DEVICE.beside()
    assert beside.stream != DEVICE.stream and beside.identity == DEVICE.identity
    a, total = (DEVICE.allocate(4 * COUNT).view(np.float32) for _ in range(2))
    hosts = np.random.default_rng(2).integers(0, 9, (40, COUNT)).astype(np.float32)
    arguments = [a, total, total, np.int64(COUNT)]
    turns = [(each, each.launch(ADD, (2, 1, 1), 256, arguments)) for each in (DEVICE, beside)]
    for step, host in enumerate(hosts):
        (own, add), (other, _) = turns[:: -1 if step % 2 else 1]
        own.write(host, a)
        add()
        other.follow(own.mark())
    np.testing.assert_array_equal(DEVICE.read(total), hosts.sum(axis=0))


def test_what_is_sent_beside_launches_is_there_behind_its_mark():
    """Two memories in turn, staged by other threads; sums of what came are right to the last."""
    a, b, total = (DEVICE.allocate(4 * COUNT).view(np.float32) for _ in range(3))
    hosts = np.random.default_rng(2).integers(0, 9, (40, COUNT)).astype(np.float32)
    adds = [
        DEVICE.launch(ADD, (2, 1, 1), 256, [each, total, total, np.int64(COUNT)]) for each in (a, b)
    ]
    idle = [DEVICE.mark()] * 2
    begin = DEVICE.mark()
    with ThreadPoolExecutor(3) as pool:
        for step, staged in enumerate(pool.map(DEVICE.stage, hosts)):
            turn = step % 2
            there = DEVICE.send(staged, (a, b)[turn], idle[turn])
            del staged  # the device keeps it for as long as it reads it
            DEVICE.follow(there)
            adds[turn]()
            idle[turn] = DEVICE.mark()
    end = DEVICE.mark()
    np.testing.assert_array_equal(DEVICE.read(total), hosts.sum(axis=0))
    assert DEVICE.elapsed(begin, end) > 0
