// The three products of a convolution with a channel per group: each channel meets a window of its
// own, so bytes bound them, not arithmetic. The Geometry (conv.cuh) takes all channels for those of
// one group; weights are float32 (a, b, channel). A thread has CHANNELS channels, a vector or one,
// neighbours have the next ones.
// -D large_real, small_real: the element types of the two maps.
#include "port.cuh"
#include "conv.cuh"
#include "lanes.cuh"

constexpr int PIXELS = 4;  // of a row, for which a thread reads a weight once
constexpr int TAPS = 4;    // of a row of the window, for which a thread reads a small pixel once

template <class T>
__device__ inline void load_channels(const T* p, float* values) {
    if constexpr (CHANNELS == 1)
        values[0] = load(p);
    else
        for (int i = 0; i < CHANNELS; i += Vector<T>::size) {
            const Vector<T> vector = load_vector(p + i);
            for (int j = 0; j < Vector<T>::size; j++) values[i + j] = vector.value[j];
        }
}

template <class T>
__device__ inline void store_channels(T* p, const float* values) {
    if constexpr (CHANNELS == 1)
        store(p, values[0]);
    else
        for (int i = 0; i < CHANNELS; i += Vector<T>::size) {
            Vector<T> vector;
            for (int j = 0; j < Vector<T>::size; j++) vector.value[j] = values[i + j];
            store_vector(p + i, vector);
        }
}

// target = product + bias + residual, at least 0 where rectified. A thread computes PIXELS pixels
// of a row of the target, or of a phase of it.
template <bool ADJOINT, class From, class To>
__device__ inline void gathered(const Geometry& at, const From* from, const float* weight,
    const float* bias, const To* residual, int rectified, To* target) {
    const Gather the = gather<ADJOINT>(at);
    const int channels = the.target_channels, vectors = channels / CHANNELS;
    const int strips = (the.columns.count + PIXELS - 1) / PIXELS;
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const long long strip = i / vectors;
    if (strip >= static_cast<long long>(at.images) * the.rows.count * strips) return;
    const int channel = static_cast<int>(i - strip * vectors) * CHANNELS;
    const Digits place = digits(static_cast<int>(strip), the.rows.count, strips);
    const int first = place.low * PIXELS;  // column of the target

    float sum[PIXELS][CHANNELS] = {};
    for (int a = 0; a < the.rows.taps; a++) {
        const int row =
            place.middle * the.rows.scale + the.rows.origin + a * the.rows.direction;
        if (static_cast<unsigned>(row) >= static_cast<unsigned>(the.rows.limit)) continue;
        const long long row_pixel =
            (static_cast<long long>(place.high) * the.rows.limit + row) * the.columns.limit;
        for (int b = 0; b < the.columns.taps; b++) {
            float own[CHANNELS];
            load_channels(weight + window_cell(at, the, Digits{a, b, 0}) * channels + channel, own);
            const int left =
                first * the.columns.scale + the.columns.origin + b * the.columns.direction;
#pragma unroll
            for (int p = 0; p < PIXELS; p++) {
                const int column = left + p * the.columns.scale;
                if (static_cast<unsigned>(column) < static_cast<unsigned>(the.columns.limit)) {
                    float x[CHANNELS];
                    load_channels(from + (row_pixel + column) * channels + channel, x);
#pragma unroll
                    for (int c = 0; c < CHANNELS; c++) sum[p][c] += x[c] * own[c];
                }
            }
        }
    }

    const int height = ADJOINT ? at.large_height : at.small_height;
    const int width = ADJOINT ? at.large_width : at.small_width;
    const long long target_row =
        static_cast<long long>(place.high) * height + the.rows.first + place.middle * the.rows.step;
#pragma unroll
    for (int p = 0; p < PIXELS; p++) {
        if (first + p >= the.columns.count) break;
        const int column = the.columns.first + (first + p) * the.columns.step;
        const long long element = (target_row * width + column) * channels + channel;
        float other[CHANNELS];
        if (bias) load_channels(bias + channel, other);
#pragma unroll
        for (int c = 0; c < CHANNELS; c++)
            if (bias) sum[p][c] += other[c];
        if (residual) load_channels(residual + element, other);
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) {
            if (residual) sum[p][c] += other[c];
            if (rectified) sum[p][c] = relu(sum[p][c]);
        }
        store_channels(target + element, sum[p]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
correlate(GEOMETRY_PARAMETERS, const large_real* large, const float* weight, const float* bias,
    const small_real* residual, int rectified, small_real* small) {
    gathered<false>(GEOMETRY, large, weight, bias, residual, rectified, small);
}

extern "C" __global__ void __launch_bounds__(THREADS)
adjoint(GEOMETRY_PARAMETERS, const small_real* small, const float* weight, const float* bias,
    const large_real* residual, int rectified, large_real* large) {
    gathered<true>(GEOMETRY, small, weight, bias, residual, rectified, large);
}

// Block ((channels * window_height + a) * groups of taps + group, part): the sums of TAPS weights of
// row a over the pixels of a part. ``columns`` threads stand side by side over the channels.
// ``sums`` holds one whole weight gradient per part, which sum_parts of conv_parts.cu adds.
extern "C" __global__ void __launch_bounds__(THREADS)
by_weight(GEOMETRY_PARAMETERS, const large_real* large, const small_real* small, int columns,
    int part_pixels, float* sums) {
    SHARED(float, room, THREADS * CHANNELS);
    const Geometry at = GEOMETRY;
    const int channels = at.small_channels;
    const Lanes lanes = lanes_of(columns);
    const int tap_groups = (at.window_width + TAPS - 1) / TAPS;
    const Digits block = digits(blockIdx.x, at.window_height, tap_groups);
    const int channel = (block.high * columns + lanes.column) * CHANNELS;
    const int a = block.middle, b = block.low * TAPS;
    const bool inside = lanes.lane < lanes.lanes && channel < channels;
    const int first = blockIdx.y * part_pixels;
    const int end = min(first + part_pixels, at.images * at.small_height * at.small_width);

    float sum[TAPS][CHANNELS] = {};
    Digits pixel = digits(first + lanes.lane, at.small_height, at.small_width);
    const Digits step = digits(lanes.lanes, at.small_height, at.small_width);
    for (int i = first + lanes.lane; inside && i < end; i += lanes.lanes) {
        float y[CHANNELS];
        load_channels(small + static_cast<long long>(i) * channels + channel, y);
#pragma unroll
        for (int t = 0; t < TAPS; t++) {
            const Found met = met_pixel(at, pixel, a, b + t);
            if (b + t < at.window_width && met.inside) {
                float x[CHANNELS];
                load_channels(large + static_cast<long long>(met.pixel) * channels + channel, x);
#pragma unroll
                for (int c = 0; c < CHANNELS; c++) sum[t][c] += x[c] * y[c];
            }
        }
        add(pixel, step, at.small_height, at.small_width);
    }
    const long long part = static_cast<long long>(blockIdx.y) * at.window_height * at.window_width;
#pragma unroll
    for (int t = 0; t < TAPS; t++) {
        sum_over_lanes(sum[t], room, lanes);
        if (inside && lanes.lane == 0 && b + t < at.window_width)
            store_channels(
                sums + (part + a * at.window_width + b + t) * channels + channel, sum[t]);
    }
}
