// Costs: sums over rows, each the work of one warp, or over numbers. A block writes the sum of what
// its threads found; cost.cu adds those parts.
#include "softmax.cuh"

#define NOT_A_NUMBER __uint_as_float(0x7FC00000u)  // what a class beyond all costs

constexpr int WARPS = THREADS / 32;

// A warp starts with this row and goes on by `rows_at_once`.
__device__ inline int first_row() { return blockIdx.x * WARPS + threadIdx.x / 32; }
__device__ inline int rows_at_once() { return gridDim.x * WARPS; }
__device__ inline int lane() { return threadIdx.x % 32; }

// Writes the sum of `cost` over the threads of a block; `sums` has WARPS places in shared memory.
__device__ inline void write_part(float cost, float* sums, float* parts) {
    cost = warp_sum(cost);
    if (!lane()) sums[threadIdx.x / 32] = cost;
    __syncthreads();
    if (threadIdx.x) return;
    for (int warp = 1; warp < WARPS; warp++) cost += sums[warp];
    parts[blockIdx.y * gridDim.x + blockIdx.x] = cost;
}
