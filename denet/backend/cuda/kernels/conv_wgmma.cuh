// How a block multiplies a slice of 64 steps of depth by warpgroups (wgmma, sm_90a): the four warps
// of one take 16 rows each of every 64, and all columns. Operands lie as wgmma.cuh says, in panels
// of lines of 64 elements: a line is a row (or column) of the product and runs along the depth,
// DEEP, or it is a step of depth and runs along 64 rows, the next 64 in the next panel.
#include "wgmma.cuh"

constexpr int SLICE = 64;
constexpr int PANEL = 64 * 64;  // elements of 64 lines: they begin on a boundary of 1024 bytes
constexpr int WARPS_ACROSS = 1;
static_assert(THREADS % 128 == 0 && TILE_ROWS % (THREADS / 128 * 64) == 0, "whole warpgroups");

#define STAGE_MEMORY(name)            \
    DYNAMIC_SHARED(name##_bytes);     \
    bf16* const name = reinterpret_cast<bf16*>(name##_bytes)

template <int length, int lines>
__device__ inline int place(int line, int chunk) {
    return chunk / 8 * (lines * 64) + line * 64 + (chunk % 8 ^ line % 8) * CHUNK;
}

template <bool DEEP>
__device__ inline unsigned long long descriptor(const bf16* matrix) {
    return matrix_descriptor(matrix, DEEP ? 16 : PANEL * 2, 1024);
}

// What steps of depth, and 64 rows, add to a descriptor: it counts by 16 bytes.
template <bool DEEP>
__device__ inline int steps(int depth) { return depth * (DEEP ? 1 : 64) * 2 / 16; }
constexpr int ROWS_STEP = PANEL * 2 / 16;

__device__ inline int fragment_row(int m) {
    return (threadIdx.x / 128 * M + m) * 64 + threadIdx.x / 32 % 4 * 16;
}
__device__ inline int fragment_column() { return 0; }

__device__ inline void show_copies() { fence_proxy_async(); }

template <bool LEFT_DEEP, bool RIGHT_DEEP>
__device__ inline void begin_slice(const bf16* left, const bf16* right, float* sum) {
    const unsigned long long a = descriptor<LEFT_DEEP>(left + threadIdx.x / 128 * M * PANEL);
    const unsigned long long b = descriptor<RIGHT_DEEP>(right);
    wgmma_fence<M * TILE_COLUMNS>(sum);
#pragma unroll
    for (int depth = 0; depth < SLICE; depth += 16)
#pragma unroll
        for (int m = 0; m < M; m++)
            wgmma_bf16<TILE_COLUMNS, !LEFT_DEEP, !RIGHT_DEEP>(sum + m * TILE_COLUMNS / 2,
                a + m * ROWS_STEP + steps<LEFT_DEEP>(depth), b + steps<RIGHT_DEEP>(depth));
    wgmma_commit();
}

// No product goes on from one slice to the next: ptxas would make each wait for the one before
// (C7514). Where a processor holds two blocks, the other one multiplies meanwhile.
template <bool LEFT_DEEP, bool RIGHT_DEEP>
__device__ inline void end_slice(const bf16* left, const bf16* right, float* sum) {
    wgmma_wait<0, M * TILE_COLUMNS>(sum);
}
