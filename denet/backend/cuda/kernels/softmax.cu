// Softmax over the channels of each cell, its gradient, and its mean over a map.
// A warp has a cell: its lanes take every 32nd channel.
#include "softmax.cuh"

__device__ inline long long cell_of_warp() {
    return static_cast<long long>(blockIdx.x) * (THREADS / 32) + threadIdx.x / 32;
}

extern "C" __global__ void __launch_bounds__(THREADS)
softmax(const real* x, real* y, long long cells, int channels) {
    const long long cell = cell_of_warp();
    if (cell >= cells) return;
    x += cell * channels;
    y += cell * channels;
    const Extent extent = extent_of(x, channels);
    for (int c = threadIdx.x % 32; c < channels; c += 32) {
        store(y + c, expf(load(x + c) - extent.largest) / extent.sum);
    }
}

// gx = y (g - sum g y)
extern "C" __global__ void __launch_bounds__(THREADS)
softmax_backward(const real* g, const real* y, real* gx, long long cells, int channels) {
    const long long cell = cell_of_warp();
    if (cell >= cells) return;
    g += cell * channels;
    y += cell * channels;
    gx += cell * channels;
    float product = 0.f;
    for (int c = threadIdx.x % 32; c < channels; c += 32) product += load(g + c) * load(y + c);
    product = warp_sum(product);
    for (int c = threadIdx.x % 32; c < channels; c += 32) {
        store(gx + c, load(y + c) * (load(g + c) - product));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
extents(const real* x, Extent* extent, long long cells, int channels) {
    const long long cell = cell_of_warp();
    if (cell >= cells) return;
    const Extent found = extent_of(x + cell * channels, channels);
    if (threadIdx.x % 32 == 0) extent[cell] = found;
}

// y[n, k] = mean over the cells of sample n; a thread has one class, blockIdx.y counts samples
extern "C" __global__ void __launch_bounds__(THREADS)
mean_probability(const real* x, const Extent* extent, float* y, int cells, int channels) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels) return;
    x += static_cast<long long>(blockIdx.y) * cells * channels + c;
    extent += static_cast<long long>(blockIdx.y) * cells;
    float sum = 0.f;
    for (int cell = 0; cell < cells; cell++, x += channels) {
        sum += expf(load(x) - extent[cell].largest) / extent[cell].sum;
    }
    y[static_cast<long long>(blockIdx.y) * channels + c] = sum / cells;
}
