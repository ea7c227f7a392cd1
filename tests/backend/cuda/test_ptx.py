"""The words of ptx.cuh: which lane holds what is written out from NVIDIA's manual.

Parallel Thread Execution ISA 8.7, "Warp Level Matrix Multiply-Accumulate Instructions": figures of
mma.m16n8k16 with 16-bit operands and of ldmatrix.
"""

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, each_schedule, shim_alone, unavailable
from backend.cuda.host_device import KernelError
from backend.cuda.written import run

from denet.bfloat16 import from_float32, to_float32

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)


def matrix(*shape, seed=0):
    """Draw values that bf16 holds."""
    return to_float32(from_float32(np.random.default_rng(seed).standard_normal(shape, np.float32)))


MMA = """
extern "C" __global__ void run(const unsigned* a, const unsigned* b, float* d) {
    unsigned left[4], right[2];
    float sum[4];
    for (int i = 0; i < 4; i++) left[i] = a[4 * threadIdx.x + i];
    for (int i = 0; i < 2; i++) right[i] = b[2 * threadIdx.x + i];
    for (int i = 0; i < 4; i++) sum[i] = d[4 * threadIdx.x + i];
    mma_bf16<1, 1>(sum, left, right);
    for (int i = 0; i < 4; i++) d[4 * threadIdx.x + i] = sum[i];
}
"""


@each_schedule
def test_mma_holds_fragments_as_the_manual_says(schedule):
    a, b, c = matrix(16, 16), matrix(16, 8, seed=1), matrix(16, 8, seed=2)
    left, right = np.empty((32, 8), np.float32), np.empty((32, 4), np.float32)
    sums = np.empty((32, 4), np.float32)
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for i in range(8):
            row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
            column = thread * 2 + (i & 1) + (0 if i < 4 else 8)
            left[lane, i] = a[row, column]
        for i in range(4):
            right[lane, i] = b[thread * 2 + (i & 1) + (0 if i < 2 else 8), group]
            sums[lane, i] = c[group if i < 2 else group + 8, thread * 2 + (i & 1)]
    registers = [from_float32(each).view(np.uint32) for each in (left, right)]
    run(MMA, [*registers, sums], device=device(schedule, capability=80))
    expected = c.astype(np.float64) + a.astype(np.float64) @ b
    for lane in range(32):
        for i in range(4):
            row, column = (lane >> 2) + (8 if i >= 2 else 0), lane % 4 * 2 + i % 2
            assert sums[lane, i] == pytest.approx(expected[row, column], rel=1e-5, abs=1e-5)


LDMATRIX = """
extern "C" __global__ void WORD_COUNT(const uint4* rows, const int* order, unsigned* out) {
    SHARED(uint4, tile, 32);
    tile[threadIdx.x] = rows[threadIdx.x];
    __syncthreads();
    unsigned r[COUNT];
    WORD<COUNT>(r, &tile[order[threadIdx.x]]);
    for (int i = 0; i < COUNT; i++) out[COUNT * threadIdx.x + i] = r[i];
}
"""


LOADS = [(word, count) for word in ("ldmatrix", "ldmatrix_trans") for count in (1, 2, 4)]
ALL_LOADS = "".join(
    LDMATRIX.replace("WORD", word).replace("COUNT", str(count)) for word, count in LOADS
)


@each_schedule
@pytest.mark.parametrize(("word", "count"), LOADS)
def test_ldmatrix_gives_each_lane_what_the_manual_says(word, count, schedule):
    rows = np.arange(256, dtype=np.uint16).reshape(32, 8)
    order = np.random.default_rng(3).permutation(32).astype(np.int32)
    out = np.zeros((32, count), np.uint32)
    run(ALL_LOADS, [rows, order, out], device=device(schedule), name=f"{word}_{count}")
    pairs = out.view(np.uint16).reshape(32, count, 2)
    for index in range(count):
        each = rows[order[8 * index : 8 * index + 8]]
        for lane in range(32):
            row, column = lane // 4, lane % 4 * 2
            if word == "ldmatrix":
                expected = each[row, column], each[row, column + 1]
            else:
                expected = each[column, row], each[column + 1, row]
            assert tuple(pairs[lane, index]) == expected


# C (32, 32) = A (32, k) B (k, 32): two warps, each 16 rows; stages of 16 of k by cp.async
PRODUCT = """
extern "C" __global__ void run(const bf16* a, const bf16* b, float* c, int k) {
    SHARED(bf16, left, 2 * 32 * 16);
    SHARED(bf16, right, 2 * 16 * 32);
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    float sum[16] = {};
    for (int at = 0; at < k + 16; at += 16) {
        if (at < k) {
            const int stage = at / 16 % 2 * 512;
            cp_async<16>(&left[stage + thread * 8], a + thread / 2 * k + at + thread % 2 * 8, 16);
            cp_async<16>(&right[stage + thread * 8], b + at * 32 + thread * 8, 16);
        }
        cp_async_commit();
        if (at == 0) continue;
        cp_async_wait<PENDING>();
        BARRIER;
        const int stage = (at / 16 - 1) % 2 * 512;
        unsigned x[4], y[8];
        ldmatrix<4>(x, &left[stage + (16 * warp + lane % 16) * 16 + lane / 16 * 8]);
        for (int pair = 0; pair < 2; pair++)
            ldmatrix_trans<4>(
                y + 4 * pair, &right[stage + lane % 16 * 32 + 16 * pair + lane / 16 * 8]);
        mma_bf16<1, 4>(sum, x, y);
        LAST;
    }
    for (int i = 0; i < 16; i++)
        c[(16 * warp + lane / 4 + i % 4 / 2 * 8) * 32 + i / 4 * 8 + lane % 4 * 2 + i % 2] = sum[i];
}
"""


def product(schedule, **words):
    given = {"PENDING": "1", "BARRIER": "__syncthreads()", "LAST": "__syncthreads()", **words}
    text = PRODUCT
    for name, word in given.items():
        text = text.replace(name, word)
    a, b = matrix(32, 80), matrix(80, 32, seed=1)
    c = np.full((32, 32), np.nan, np.float32)
    arguments = [from_float32(a), from_float32(b), c, np.int32(80)]
    run(text, arguments, device=device(schedule, capability=80), threads=64)
    return c, a.astype(np.float64) @ b


@each_schedule
def test_stages_of_a_product_equal_the_product(schedule):
    found, expected = product(schedule)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@shim_alone
@pytest.mark.parametrize(
    "fault", [{"PENDING": "2"}, {"BARRIER": ""}, {"LAST": ""}], ids=["wait", "barrier", "last"]
)
def test_a_product_with_a_fault_is_wrong_under_some_schedule(fault):
    results = [product(schedule, **fault) for schedule in SCHEDULES]
    assert any(not np.allclose(found, expected, atol=1e-4) for found, expected in results)


ROWS = """
extern "C" __global__ void TYPE_rows(const TYPE* x, TYPE* y, const int* bytes) {
    SHARED(TYPE, rows, 32);
    cp_async<sizeof(TYPE)>(&rows[threadIdx.x], x + threadIdx.x, bytes[threadIdx.x]);
    cp_async_commit();
    cp_async_wait<0>();
    y[threadIdx.x] = rows[threadIdx.x];
}
"""


WORDS = {"unsigned": 4, "uint2": 8, "uint4": 16}
ALL_ROWS = "".join(ROWS.replace("TYPE", type_) for type_ in WORDS)


@each_schedule
@pytest.mark.parametrize(("type_", "size"), WORDS.items())
def test_copies_fill_with_zeros_what_they_do_not_read(type_, size, schedule):
    x = np.random.default_rng(0).integers(1, 256, (32, size), np.uint8)
    y = np.zeros_like(x)
    many = np.arange(32, dtype=np.int32) % (size + 1)
    run(ALL_ROWS, [x, y, many], name=f"{type_}_rows", device=device(schedule))
    assert (y == np.where(np.arange(size) < many[:, None], x, 0)).all()


REFUSED = [
    ("ldmatrix<1>(&r, tile + 1);", "ldmatrix: the address is no multiple of 16"),
    ("ldmatrix<1>(&r, x);", "ldmatrix: the address is not in shared memory"),
    ("if (threadIdx.x) ldmatrix<1>(&r, tile);", "ldmatrix: a lane has ended"),
    ("cp_async<16>(tile + 4, x + 1, 16);", "cp_async: the address is no multiple of 16"),
    ("cp_async<16>(tile + 1, x, 16);", "cp_async: the address is no multiple of 16"),
    ("cp_async<16>(tile + 32, x, 16);", "cp_async: the address is not in shared memory"),
    ("cp_async<16>(tile, x, 17);", "cp_async: 17 bytes of 16"),
]
REFUSALS = "".join(
    f"""
extern "C" __global__ void run{number}(unsigned* x) {{
    SHARED(unsigned, tile, 32);
    unsigned r;
    tile[threadIdx.x] = 0;
    {line}
}}
"""
    for number, (line, _) in enumerate(REFUSED)
)


@shim_alone
@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[line for line, _ in REFUSED])
def test_what_the_device_would_refuse_is_an_error(number):
    line, message = REFUSED[number]
    with pytest.raises(KernelError) as error:
        run(REFUSALS, [np.zeros(64, np.uint32)], name=f"run{number}")
    assert message in str(error.value) and line in str(error.value)
