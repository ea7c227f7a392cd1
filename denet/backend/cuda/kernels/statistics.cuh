// Statistics of the channels of a map, in parts: a part is some rows (pixels) in a row, and is told
// by the mean of its rows, less the first of them, and the sum of the squares about the mean. That
// loses no digits far from 0, and parts of any number join by statistics.cu, which reads the first
// rows from the map.
#include "lanes.cuh"

// What a block knows of its part: each thread, of `count` neighbouring columns (those of column
// at.column) and the rows of its lane, the sum and the sum of squares of what they are above `near`,
// the mean of the first rows of the part: of n rows the mean of k is so near to that of all that
// squares about it lose the digits of 1 + n / k at most, however far from the others the first are.
// `first` is the first row; `sums` and `squares` are room for THREADS * count numbers each, where
// neither of the two lies. Columns from `inside` on are dropped.
template <int count>
__device__ inline void write_statistics(const float (&sum)[count], const float (&square)[count],
    const Lanes& at, const float* near, const float* first, float* sums, float* squares, int rows,
    int inside, float* mean, float* deviation) {
    const int width = at.columns * count, place = at.lane * width + at.column * count;
    __syncthreads();  // the room is free
    for (int i = 0; i < count; i++) {
        sums[place + i] = sum[i];
        squares[place + i] = square[i];
    }
    __syncthreads();
    for (int column = threadIdx.x; column < min(width, inside); column += THREADS) {
        float total = 0.f, about_near = 0.f;
        for (int lane = 0; lane < at.lanes; lane++) {
            total += sums[lane * width + column];
            about_near += squares[lane * width + column];
        }
        mean[column] = near[column] - first[column] + total / rows;
        deviation[column] = about_near - total / rows * total;
    }
}
