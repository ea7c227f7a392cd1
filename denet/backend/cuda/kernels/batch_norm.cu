// Batch normalisation of x (rows, channels), with the ReLU behind it, and its gradient.
// A thread has WIDTH neighbouring channels, whose parameters stay in registers, of every
// `lanes`-th row of a block of `height` rows: neighbours read neighbouring bytes. What is summed
// over all rows is summed by block first (blockIdx.x, for channels by blockIdx.y), and merged by
// a second launch, always in the same order.
#include "port.cuh"
#include "lanes.cuh"

constexpr int MERGED = 8;  // channels of a block that merges

struct alignas(WIDTH * sizeof(real)) Channels {
    real element[WIDTH];
};

struct Vectors {  // WIDTH numbers of a vector (channels,)
    float value[WIDTH];
};

struct Tile : Lanes {
    int channel;     // the first of the thread
    bool inside;     // it has channels
    int first, end;  // the rows of the thread: every `lanes`-th
};

__device__ inline Tile tile_of(int rows, int channels, int columns, int height) {
    Tile t;
    static_cast<Lanes&>(t) = lanes_of(columns);
    t.channel = (blockIdx.y * columns + t.column) * WIDTH;
    t.inside = t.lane < t.lanes && t.channel < channels;
    t.end = min(rows, static_cast<int>(blockIdx.x + 1) * height);
    t.first = t.inside ? blockIdx.x * height + t.lane : t.end;
    return t;
}

__device__ inline Channels load_channels(const real* p, long long row, int channels, const Tile& t) {
    return *reinterpret_cast<const Channels*>(p + row * channels + t.channel);
}

__device__ inline void store_channels(
    real* p, long long row, int channels, const Tile& t, const Channels& values) {
    *reinterpret_cast<Channels*>(p + row * channels + t.channel) = values;
}

__device__ inline Vectors vector_of(const float* p, const Tile& t) {
    Vectors v = {};
    if (t.inside) {
        for (int i = 0; i < WIDTH; i++) v.value[i] = p[t.channel + i];
    }
    return v;
}

// The mean of the rows of a block, less the first of them, and the sum of the squares about it: a
// part for statistics.cu.
// Each thread counts from its own first row, so that what lies far from 0 does not cancel; what an
// outlier there costs stands in statistics.cuh: 6e-6 of the variance for 32 rows of a thread.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
statistics(const real* x, float* means, float* squares, int rows, int channels, int columns,
           int height) {
    SHARED(float, room, THREADS * WIDTH);
    const Tile t = tile_of(rows, channels, columns, height);
    const bool any = t.first < t.end;
    const float count = any ? (t.end - 1 - t.first) / t.lanes + 1 : 0;
    float origin[WIDTH] = {}, sum[WIDTH] = {}, square[WIDTH] = {};
    if (any) {
        const Channels start = load_channels(x, t.first, channels, t);
        for (int i = 0; i < WIDTH; i++) origin[i] = load(start.element + i);
    }
#pragma unroll 4
    for (int row = t.first + t.lanes; row < t.end; row += t.lanes) {
        const Channels values = load_channels(x, row, channels, t);
        for (int i = 0; i < WIDTH; i++) {
            const float away = load(values.element + i) - origin[i];
            sum[i] += away;
            square[i] += away * away;
        }
    }
    float mean[WIDTH] = {}, weighted[WIDTH] = {};
    if (any) {
        const int first = blockIdx.x * height;
        const Channels start = load_channels(x, first, channels, t);
        for (int i = 0; i < WIDTH; i++) {
            const float own = sum[i] / count;
            square[i] -= own * sum[i];
            mean[i] = origin[i] - load(start.element + i) + own;
            weighted[i] = mean[i] * count;
        }
    }
    sum_over_lanes(weighted, room, t);
    const float many = t.end - static_cast<int>(blockIdx.x) * height;
    for (int i = 0; i < WIDTH; i++) {
        const float away = mean[i] - weighted[i] / many;
        square[i] += count * away * away;
    }
    sum_over_lanes(square, room, t);
    if (t.lane || !t.inside) return;
    const long long at = static_cast<long long>(blockIdx.x) * channels + t.channel;
    for (int i = 0; i < WIDTH; i++) {
        means[at + i] = weighted[i] / many;
        squares[at + i] = square[i];
    }
}

// What turns x into y: y = (x - mean) * scale + shift.
struct Line {
    Vectors mean, scale, shift;
};

__device__ inline Line line_of(const float* gamma, const float* beta, const float* mean,
                               const float* variance, float eps, const Tile& t) {
    Line line = {vector_of(mean, t), vector_of(gamma, t), vector_of(beta, t)};
    const Vectors spread = vector_of(variance, t);
    for (int i = 0; i < WIDTH; i++) line.scale.value[i] *= 1.f / sqrtf(spread.value[i] + eps);
    return line;
}

// The same bits in forward and backward, which asks x and not y where the ReLU cut.
__device__ inline float on_line(float away, const Line& line, int i) {
    return __fmaf_rn(away, line.scale.value[i], line.shift.value[i]);
}

// y = gamma (x - mean) / sqrt(variance + eps) + beta, but not below `least`. Where there is room
// for them, mean and variance are handed on.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
normalise(const real* x, const float* gamma, const float* beta, const float* mean,
          const float* variance, real* y, float* next_mean, float* next_variance, float eps,
          float least, int rows, int channels, int columns, int height) {
    const Tile t = tile_of(rows, channels, columns, height);
    const Line line = line_of(gamma, beta, mean, variance, eps, t);
    // y may lie where x does: a second row is read before the first is written
    for (int row = t.first; row < t.end; row += 2 * t.lanes) {
        const int next = row + t.lanes;
        Channels ahead[2];
        ahead[0] = load_channels(x, row, channels, t);
        if (next < t.end) ahead[1] = load_channels(x, next, channels, t);
        for (Channels& values : ahead) {
            for (int i = 0; i < WIDTH; i++) {
                real* const element = values.element + i;
                const float value = on_line(load(element) - line.mean.value[i], line, i);
                store(element, value < least ? least : value);
            }
        }
        store_channels(y, row, channels, t, ahead[0]);
        if (next < t.end) store_channels(y, next, channels, t, ahead[1]);
    }
    if (!next_mean || blockIdx.x || t.lane || !t.inside) return;
    for (int i = 0; i < WIDTH; i++) {
        next_mean[t.channel + i] = mean[t.channel + i];
        next_variance[t.channel + i] = variance[t.channel + i];
    }
}

// The gradient of y where y is above `least`, else 0.
__device__ inline float passed(const real* gradient, float y, float least) {
    return y <= least ? 0.f : load(gradient);
}

// sum g and sum g z of the rows of a block, z = (x - mean) / sqrt(variance + eps).
extern "C" __global__ void __launch_bounds__(THREADS, 3)
gradient_sums(const real* x, const real* g, const float* gamma, const float* beta,
              const float* mean, const float* variance, float* sums, float* products, float eps,
              float least, int rows, int channels, int columns, int height) {
    SHARED(float, room, THREADS * WIDTH);
    const Tile t = tile_of(rows, channels, columns, height);
    const Line line = line_of(gamma, beta, mean, variance, eps, t);
    float sum[WIDTH] = {}, product[WIDTH] = {};
#pragma unroll 2
    for (int row = t.first; row < t.end; row += t.lanes) {
        const Channels values = load_channels(x, row, channels, t);
        const Channels gradients = load_channels(g, row, channels, t);
        for (int i = 0; i < WIDTH; i++) {
            const float away = load(values.element + i) - line.mean.value[i];
            const float gradient = passed(gradients.element + i, on_line(away, line, i), least);
            sum[i] += gradient;
            product[i] += gradient * away;
        }
    }
    sum_over_lanes(sum, room, t);
    sum_over_lanes(product, room, t);
    if (t.lane || !t.inside) return;
    const long long at = static_cast<long long>(blockIdx.x) * channels + t.channel;
    for (int i = 0; i < WIDTH; i++) {
        sums[at + i] = sum[i];
        products[at + i] = product[i] / sqrtf(variance[t.channel + i] + eps);
    }
}

// gbeta = sum g and ggamma = sum g z of all rows.
extern "C" __global__ void __launch_bounds__(THREADS)
merge_gradients(const float* sums, const float* products, float* gbeta, float* ggamma,
                int channels, int parts) {
    SHARED(float, room, 2 * THREADS);
    const Lanes at = lanes_of(MERGED);
    const int channel = blockIdx.x * MERGED + at.column;
    float total[2] = {};
    for (int part = at.lane; part < parts && channel < channels; part += at.lanes) {
        const long long place = static_cast<long long>(part) * channels + channel;
        total[0] += sums[place];
        total[1] += products[place];
    }
    sum_over_lanes(total, room, at);
    if (at.lane || channel >= channels) return;
    gbeta[channel] = total[0];
    ggamma[channel] = total[1];
}

// gx = gamma / sqrt(variance + eps) (g - gbeta / rows - z ggamma / rows)
extern "C" __global__ void __launch_bounds__(THREADS, 3)
input_gradient(const real* x, const real* g, const float* gamma, const float* beta,
               const float* mean, const float* variance, const float* gbeta, const float* ggamma,
               real* gx, float eps, float least, int rows, int channels, int columns,
               int height) {
    const Tile t = tile_of(rows, channels, columns, height);
    const Line line = line_of(gamma, beta, mean, variance, eps, t);
    Vectors offset = vector_of(gbeta, t), slope = vector_of(ggamma, t);
    const Vectors spread = vector_of(variance, t);
    for (int i = 0; i < WIDTH; i++) {
        offset.value[i] /= rows;
        slope.value[i] /= sqrtf(spread.value[i] + eps) * rows;
    }
#pragma unroll 2
    for (int row = t.first; row < t.end; row += t.lanes) {
        Channels values = load_channels(x, row, channels, t);
        const Channels gradients = load_channels(g, row, channels, t);
        for (int i = 0; i < WIDTH; i++) {
            const float away = load(values.element + i) - line.mean.value[i];
            const float gradient = passed(gradients.element + i, on_line(away, line, i), least);
            const float rest = gradient - offset.value[i] - away * slope.value[i];
            store(values.element + i, line.scale.value[i] * rest);
        }
        store_channels(gx, row, channels, t, values);
    }
}
