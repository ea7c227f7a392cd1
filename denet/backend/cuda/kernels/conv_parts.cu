// What goes with the products of a convolution: sums of channels (the gradient of a bias) and the
// sum of the parts in which a product or a sum was computed, in their order.
#include "port.cuh"

constexpr int LANES = 32, ROWS = THREADS / LANES;

// sums[part][channel] = sum of x[pixel][channel] over the pixels of part blockIdx.y: 32 channels
// per block, a column of ROWS threads for each.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_channels(const real* x, long long pixels, int channels, long long part_pixels, float* sums) {
    SHARED(float, row_sums, THREADS);
    const int lane = threadIdx.x % LANES, row = threadIdx.x / LANES;
    const int channel = blockIdx.x * LANES + lane;
    const long long first = blockIdx.y * part_pixels;
    const long long end = first + part_pixels < pixels ? first + part_pixels : pixels;
    float sum = 0.f;
    if (channel < channels)
#pragma unroll 4
        for (long long pixel = first + row; pixel < end; pixel += ROWS)
            sum += load(x + pixel * channels + channel);
    row_sums[threadIdx.x] = sum;
    __syncthreads();
    if (row > 0 || channel >= channels) return;
    for (int i = 1; i < ROWS; i++) sum += row_sums[i * LANES + lane];
    sums[blockIdx.y * static_cast<long long>(channels) + channel] = sum;
}

// result[i] = sum over parts of sums[part][i] + bias + residual, at least 0 where rectified. A row
// of results has so many channels, each with its bias. -D real: the element type of the result.
extern "C" __global__ void __launch_bounds__(THREADS)
sum_parts(const float* sums, int parts, long long count, int channels, const float* bias,
    const real* residual, int rectified, real* result) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    float sum = sums[i];
#pragma unroll 4
    for (int part = 1; part < parts; part++) sum += sums[part * count + i];
    if (bias) sum += bias[i % channels];
    if (residual) sum += load(residual + i);
    store(result + i, rectified ? relu(sum) : sum);
}
