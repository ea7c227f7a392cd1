// Statistics of the channels of a map, in parts: a part is some rows (pixels) in a row, and is told
// by the mean of its rows, less the first of them, and the sum of the squares about the mean: what
// lies far from 0 does not cancel. Parts of any number join by statistics.cu, which reads the first
// rows from the map.
// A thread counts from the first of its own n rows. Where that lies far from all others, the sum of
// squares is rounded n times at that distance, and the variance has a relative error of about
// 3e-8 n^1.5: 2e-6 for the 16 rows that a thread of a convolution has at most. Else it is below 1e-6.
#include "lanes.cuh"

// What a thread knows of its rows in `count` neighbouring columns: the first of them, and sum and sum
// of squares of how far the rows lie above it.
template <int count>
struct Measured {
    float first[count] = {}, sum[count] = {}, square[count] = {};
    int rows = 0;

    __device__ void row(const float* values) {
#pragma unroll
        for (int i = 0; i < count; i++) {
            if (rows == 0) first[i] = values[i];
            const float above = values[i] - first[i];
            sum[i] += above;
            square[i] += above * above;
        }
        rows++;
    }
};

// Numbers of shared memory that write_statistics takes where threads have `count` columns.
__device__ constexpr int statistics_room(int count, int columns) {
    return (2 * THREADS + columns) * count + THREADS / columns;
}

// Joins what the threads of a block have measured of a part of `rows` rows, those of lane 0 the
// first of them among others. All of a lane have as many rows where they have columns before
// `inside`; those behind are dropped.
template <int count>
__device__ inline void write_statistics(const Measured<count>& own, const Lanes& at, float* room,
    int rows, int inside, float* mean, float* deviation) {
    const int width = at.columns * count, column = at.column * count;
    float *const means = room, *const squares = means + THREADS * count;
    float *const first = squares + THREADS * count, *const counts = first + width;
    __syncthreads();  // the room is free
    if (at.lane == 0)
        for (int i = 0; i < count; i++) first[column + i] = own.first[i];
    if (at.column == 0) counts[at.lane] = own.rows;
    __syncthreads();
    for (int i = 0; i < count; i++) {
        const int place = at.lane * width + column + i;
        const float above = own.sum[i] / max(own.rows, 1);
        means[place] = own.first[i] - first[column + i] + above;
        squares[place] = own.square[i] - above * own.sum[i];
    }
    __syncthreads();
    for (int k = threadIdx.x; k < min(width, inside); k += THREADS) {
        float weighted = 0.f, square = 0.f;
        for (int lane = 0; lane < at.lanes; lane++)
            weighted += counts[lane] * means[lane * width + k];
        const float middle = weighted / rows;
        for (int lane = 0; lane < at.lanes; lane++) {
            const float away = means[lane * width + k] - middle;
            square += squares[lane * width + k] + counts[lane] * away * away;
        }
        mean[k] = middle;
        deviation[k] = square;
    }
}
