"""Products of warpgroups, of operands laid out as NVIDIA's manual says.

Parallel Thread Execution ISA 8.7, "Asynchronous Warpgroup Level Matrix Instructions": the layout of
D, and the canonical layouts of operands in shared memory, swizzled by 128 bytes.
"""

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, each_schedule, shim_alone, unavailable
from backend.cuda.host_device import KernelError
from backend.cuda.written import run

from denet.bfloat16 import from_float32, to_float32

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

# 64 of k: four products. Memory comes laid out: 16 KB at most for A, then B.
PRODUCT = """
extern "C" __global__ void product_COLUMNS_TA_TB(const uint4* operands, float* out) {
    DYNAMIC_SHARED(memory);
    for (int i = threadIdx.x; i < SIZE / 16; i += 128)
        cp_async<16>(memory + 16 * i, operands + i, 16);
    cp_async_commit();
    cp_async_wait<0>();
    FENCE;
    BARRIER;
    float d[COLUMNS / 2] = {};
    wgmma_fence<COLUMNS>(d);
    for (int k = 0; k < 4; k++)
        wgmma_bf16<COLUMNS, TA, TB>(
            d, matrix_descriptor(memory + k * (TA ? 2048 : 32), 8192, 1024),
            matrix_descriptor(memory + 8192 + k * (TB ? 2048 : 32), 8192, 1024));
    wgmma_commit();
    EARLY;
    wgmma_wait<PENDING, COLUMNS>(d);
    for (int i = 0; i < COLUMNS / 2; i++) out[threadIdx.x * COLUMNS / 2 + i] = d[i];
}
"""
KINDS = [(columns, a, b) for columns in (64, 128) for a in (0, 1) for b in (0, 1)]


REFUSED = [
    ("matrix_descriptor(memory + 8, 16, 1024);", "the address is no multiple of 16"),
    ("matrix_descriptor(memory + 128, 16, 1024);", "it begins in a row of its 8 rows"),
    ("matrix_descriptor(memory, 16, 1000);", "a distance is no multiple of 16"),
    ("matrix_descriptor(memory + 1024, 16, 1024);", "the address is not in shared memory"),
    ("matrix_descriptor(fixed, 16, 1024);", "the address is not in dynamic shared memory"),
    ("wgmma_bf16<64, 0, 0>(d, p, p + threadIdx.x % 2);", "lanes 0 and 1 give different operands"),
    ("wgmma_bf16<64, 0, 0>(d, p, p);", "wgmma_bf16: the address is not in shared memory"),
]
REFUSALS = "".join(
    f"""
extern "C" __global__ void run{number}(float* x) {{
    DYNAMIC_SHARED(memory);
    SHARED(uint4, fixed, 64);
    float d[32];
    const unsigned long long p = matrix_descriptor(memory, 16, 1024);
    {line}
    wgmma_commit();
    wgmma_wait<0, 64>(d);
}}
"""
    for number, (line, _) in enumerate(REFUSED)
)


@shim_alone
@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[line for line, _ in REFUSED])
def test_what_the_device_would_refuse_is_an_error(number):
    line, message = REFUSED[number]
    how = {"header": "wgmma.cuh", "threads": 128, "shared": 1024, "name": f"run{number}"}
    with pytest.raises(KernelError) as error:
        run(REFUSALS, [np.zeros(64, np.float32)], **how)
    assert message in str(error.value) and line in str(error.value)


def text(columns, a, b, **words):
    given = {
        "PENDING": "0",
        "FENCE": "fence_proxy_async()",
        "BARRIER": "__syncthreads()",
        "EARLY": "",
        **words,
    }
    given |= {
        "COLUMNS": str(columns),
        "TA": str(a),
        "TB": str(b),
        "SIZE": str(8192 + 128 * columns),
    }
    whole = PRODUCT
    for name, word in given.items():
        whole = whole.replace(name, word)
    return whole


ALL = "".join(text(*kind) for kind in KINDS)


def laid_out(matrix, transposed):
    """Return the memory of a matrix (rows, 64 of k): k along lines, or down them if transposed."""
    rows, memory = matrix.shape[0], np.zeros(matrix.size, np.uint16)
    for row in range(rows):
        for k in range(64):
            line, at = (row // 64 * 64 + k, row % 64) if transposed else (row, k)
            chunk = at // 8 ^ line % 8
            memory[line * 64 + chunk * 8 + at % 8] = matrix[row, k]
    return memory


def product(columns, a, b, schedule=SCHEDULES[0], whole=ALL):
    rng = np.random.default_rng(columns)
    left, right = (from_float32(rng.standard_normal((n, 64), np.float32)) for n in (64, columns))
    operands = np.concatenate([laid_out(left, a), laid_out(right, b)])
    out = np.full((128, columns // 2), np.nan, np.float32)
    how = {"threads": 128, "shared": operands.nbytes, "name": f"product_{columns}_{a}_{b}"}
    run(whole, [operands, out], header="wgmma.cuh", device=device(schedule, capability=90), **how)
    found = np.empty((64, columns))
    for thread in range(128):
        warp, lane = thread // 32, thread % 32
        for i in range(columns // 2):
            row = 16 * warp + lane // 4 + (8 if i % 4 >= 2 else 0)
            found[row, i // 4 * 8 + lane % 4 * 2 + i % 2] = out[thread, i]
    return found, to_float32(left).astype(np.float64) @ to_float32(right).T


@each_schedule
@pytest.mark.parametrize(("columns", "a", "b"), KINDS)
def test_a_product_of_a_warpgroup_equals_the_product(columns, a, b, schedule):
    found, expected = product(columns, a, b, schedule)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@shim_alone
@pytest.mark.parametrize(
    "fault",
    [{"PENDING": "1"}, {"BARRIER": ""}, {"EARLY": "memory[threadIdx.x] = 0"}],
    ids=["wait", "barrier", "overwritten"],
)
def test_a_product_with_a_fault_is_wrong_under_some_schedule(fault):
    whole = text(64, 0, 0, **fault)
    results = [product(64, 0, 0, schedule, whole) for schedule in SCHEDULES]
    assert any(not np.allclose(found, expected, atol=1e-4) for found, expected in results)


@shim_alone
@pytest.mark.parametrize("fence", ["", "if (threadIdx.x != 77) fence_proxy_async()"])
def test_a_missing_fence_behind_copies_is_an_error(fence):
    with pytest.raises(KernelError, match="thread (0|77) copied an operand, and no fence followed"):
        product(64, 0, 0, whole=text(64, 0, 0, FENCE=fence))
