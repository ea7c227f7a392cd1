// The mean of each window, padding counted as 0, and its gradient.
// A thread has SIZE channels of a cell: of the output, and of the input on the way back.
#include "window.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
pool_mean(const real* x, real* y, int channels, int height, int out_height, int size_y,
          int stride_y, int width, int out_width, int size_x, int stride_x, int padding) {
    const Axis down = {height, out_height, size_y, stride_y, padding};
    const Axis across = {width, out_width, size_x, stride_x, padding};
    const Place at = place(out_height, out_width, channels, SIZE);
    if (!at.inside) return;
    const Range rows = cells_in(down, at.row), columns = cells_in(across, at.column);
    float sum[SIZE] = {};
    for (int row = rows.first; row < rows.end; row++) {
        const real* from = x + offset(row, columns.first, height, width, channels) + at.channel;
        for (int column = columns.first; column < columns.end; column++, from += channels) {
            const Pack<real, SIZE> values = load_pack<SIZE>(from);
            for (int i = 0; i < SIZE; i++) sum[i] += load(values.element + i);
        }
    }
    const float count = static_cast<float>(counted(down, at.row)) * counted(across, at.column);
    Pack<real, SIZE> mean;
    for (int i = 0; i < SIZE; i++) store(mean.element + i, sum[i] / count);
    store_pack(y + offset(at.row, at.column, out_height, out_width, channels) + at.channel, mean);
}

// The same for large windows: a block has one window and 32 channels, one per lane, and its warps
// take every 8th cell. blockIdx counts parts of the channels, windows and samples.
extern "C" __global__ void __launch_bounds__(THREADS)
pool_mean_large(const real* x, real* y, int channels, int height, int out_height, int size_y,
                int stride_y, int width, int out_width, int size_x, int stride_x, int padding) {
    SHARED(float, partial, THREADS);
    const Axis down = {height, out_height, size_y, stride_y, padding};
    const Axis across = {width, out_width, size_x, stride_x, padding};
    const int out_row = blockIdx.y / out_width, out_column = blockIdx.y % out_width;
    const Range rows = cells_in(down, out_row), columns = cells_in(across, out_column);
    const int breadth = columns.end - columns.first, cells = (rows.end - rows.first) * breadth;
    const int channel = blockIdx.x * 32 + threadIdx.x % 32;
    x += static_cast<long long>(blockIdx.z) * height * width * channels + channel;
    float sum = 0.f;
    if (channel < channels) {
        for (int cell = threadIdx.x / 32; cell < cells; cell += THREADS / 32) {
            const int row = rows.first + cell / breadth, column = columns.first + cell % breadth;
            sum += load(x + (static_cast<long long>(row) * width + column) * channels);
        }
    }
    partial[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 32 || channel >= channels) return;
    for (int warp = 1; warp < THREADS / 32; warp++) sum += partial[warp * 32 + threadIdx.x];
    const long long window = static_cast<long long>(blockIdx.z) * gridDim.y + blockIdx.y;
    const float count = static_cast<float>(counted(down, out_row)) * counted(across, out_column);
    store(y + window * channels + channel, sum / count);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)  // more blocks at a time would spill
pool_mean_backward(const real* g, real* gx, int channels, int height, int out_height, int size_y,
                   int stride_y, int width, int out_width, int size_x, int stride_x,
                   int padding) {
    const Axis down = {height, out_height, size_y, stride_y, padding};
    const Axis across = {width, out_width, size_x, stride_x, padding};
    const Place at = place(height, width, channels, SIZE);
    if (!at.inside) return;
    const Range rows = windows_over(down, at.row), columns = windows_over(across, at.column);
    float sum[SIZE] = {};
    for (int row = rows.first; row < rows.end; row++) {
        for (int column = columns.first; column < columns.end; column++) {
            const float count = static_cast<float>(counted(down, row)) * counted(across, column);
            const float share = 1.f / count;
            const Pack<real, SIZE> values = load_pack<SIZE>(
                g + offset(row, column, out_height, out_width, channels) + at.channel);
            for (int i = 0; i < SIZE; i++) sum[i] += load(values.element + i) * share;
        }
    }
    Pack<real, SIZE> total;
    for (int i = 0; i < SIZE; i++) store(total.element + i, sum[i]);
    store_pack(gx + offset(at.row, at.column, height, width, channels) + at.channel, total);
}
