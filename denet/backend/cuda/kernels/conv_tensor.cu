// The gathering products of a (transposed) convolution (conv.cuh) on tensor cores. Maps are bf16
// and their channels fill chunks of 8 (where they do not, conv_pack.cu has copied them: then there
// is one group); weights are bf16 (s, a, b, l) with l filled up to a chunk.
// -D target_real: the element type of the result.
#include "conv_tensor.cuh"
#include "statistics.cuh"

// Rows are target pixels, columns target channels, depth is (tap row, tap column, source channel).
template <bool ADJOINT>
struct GatherSource {
    using Left = Deal<SLICE, TILE_ROWS>;
    using Right = Deal<ADJOINT ? TILE_COLUMNS : SLICE, ADJOINT ? SLICE : TILE_COLUMNS>;

    const Geometry& at;
    const Gather& the;
    int source_channels, target_channels;  // of a group, as they are stored
    const bf16* from;
    int pitch;  // of a source pixel
    Origin origins[Left::count];
    Digits depth, step;  // of the left chunks

    const bf16* weight;          // the right chunk in the first line; of the adjoint in row 0
    int weight_pitch;            // of a row: one per s, of the adjoint one per (s, a, b)
    int columns_left;            // target channels, from the first line or chunk on
    int depth_left;              // from the right chunk on; not of the adjoint
    Digits lines[Right::count];  // of the adjoint: the depth of each line

    __device__ GatherSource(const Geometry& geometry, const Gather& product, const bf16* source,
        const bf16* weights, int first_pixel, int first_channel, int start)
        : at(geometry), the(product), source_channels(up_to_chunk(product.source_channels)),
          target_channels(up_to_chunk(product.target_channels)),
          from(source + product.group * source_channels), pitch(source_channels * at.groups) {
        for (int i = 0; i < Left::count; i++)
            origins[i] = origin(the, first_pixel + Left::first_line() + Left::apart * i);
        if (the.depth == 0) return;
        depth = digits(start + Left::chunk() * CHUNK, the.columns.taps, source_channels);
        step = digits(SLICE, the.columns.taps, source_channels);
        const int all = the.rows.taps * the.columns.taps * source_channels;
        const int chunk = Right::chunk() * CHUNK;
        if (ADJOINT) {
            weight_pitch = target_channels;
            columns_left = target_channels - first_channel - chunk;
            const int s = the.group * the.source_channels;
            weight = row_of(weights, s * window(), weight_pitch) + first_channel + chunk;
            for (int i = 0; i < Right::count; i++)
                lines[i] = digits(start + Right::first_line() + Right::apart * i,
                    the.columns.taps, source_channels);
        } else {
            weight_pitch = all;
            const int filter = first_channel + Right::first_line();
            columns_left = the.target_channels - filter;
            depth_left = all - chunk - start;
            weight = row_of(weights, the.group * the.target_channels + filter, all) + chunk + start;
        }
    }

    __device__ int window() const { return at.window_height * at.window_width; }

    __device__ int slices() const {
        return (the.rows.taps * the.columns.taps * source_channels + SLICE - 1) / SLICE;
    }

    __device__ void next(bf16* left, bf16* right) {
        const bool inside = depth.high < the.rows.taps;
#pragma unroll
        for (int i = 0; i < Left::count; i++) {
            const Found found = source_pixel(the, origins[i], depth);
            const bf16* const pixel = row_of(from + depth.low, found.pixel, pitch);
            Left::copy(left, i, pixel, inside && found.inside);
        }
        add(depth, step, the.columns.taps, source_channels);
        if (ADJOINT) copy_adjoint_weights(right);
        else copy_weights(right);
    }

    __device__ void copy_weights(bf16* right) {
        const int filters = depth_left > 0 ? columns_left : 0;
#pragma unroll
        for (int i = 0; i < Right::count; i++)
            Right::copy(right, i, row_of(weight, Right::apart * i, weight_pitch),
                Right::apart * i < filters);
        weight += SLICE;
        depth_left -= SLICE;
    }

    __device__ void copy_adjoint_weights(bf16* right) {
#pragma unroll
        for (int i = 0; i < Right::count; i++) {
            const Digits& tap = lines[i];
            const int cell = tap.low * window() + window_cell(at, the, tap);
            Right::copy(right, i, row_of(weight, cell, weight_pitch),
                tap.high < the.rows.taps && tap.low < the.source_channels && columns_left > 0);
            add(lines[i], step, the.columns.taps, source_channels);
        }
    }
};

// Elements of the target as they are stored.
struct alignas(16) Kept {
    target_real element[CHUNK];
};

// target = product + bias + residual, at least 0 where rectified.
template <bool ADJOINT>
struct WriteTarget {
    const Geometry& at;
    const Gather& the;
    int first_pixel, first_channel, rectified;
    const float* bias;
    const target_real* residual;
    target_real* target;

    __device__ void operator()(int row, int column, const float* sums) const {
        Kept kept;
        keep(row, column, sums, kept);
    }

    // Returns how many elements of a chunk are in the target, where they are ``kept``.
    __device__ int keep(int row, int column, const float* sums, Kept& kept) const {
        const int pixel = first_pixel + row, channel = first_channel + column;
        const int count = min(CHUNK, the.target_channels - channel);
        if (pixel >= the.pixels || count <= 0) return 0;
        const long long cell = target_pixel<ADJOINT>(at, the, pixel);
        const long long element = (cell * at.groups + the.group) * the.target_channels + channel;
        float y[CHUNK], other[CHUNK];
#pragma unroll
        for (int i = 0; i < CHUNK; i++) {
            y[i] = sums[i];
            if (bias && i < count) y[i] += bias[the.group * the.target_channels + channel + i];
        }
        const bool whole = the.target_channels % CHUNK == 0;
        if (residual) {
            if (whole) load_chunk(residual + element, other);
#pragma unroll
            for (int i = 0; i < CHUNK; i++)
                if (i < count) y[i] += whole ? other[i] : load(residual + element + i);
        }
        if (rectified)
#pragma unroll
            for (int i = 0; i < CHUNK; i++) y[i] = relu(y[i]);
#pragma unroll
        for (int i = 0; i < CHUNK; i++) store(kept.element + i, y[i]);
        if (whole) *reinterpret_cast<Kept*>(target + element) = kept;
        else
#pragma unroll
            for (int i = 0; i < CHUNK; i++)
                if (i < count) target[element + i] = kept.element[i];
        return count;
    }
};

// Writes rows of a chunk of columns, and measures them as they are stored.
struct Measure {
    const WriteTarget<false>& write;
    Measured<CHUNK> own;

    __device__ void operator()(int row, int column, const float* sums) {
        Kept kept;
        if (!write.keep(row, column, sums, kept)) return;
        float values[CHUNK];
#pragma unroll
        for (int i = 0; i < CHUNK; i++) values[i] = load(kept.element + i);
        own.row(values);
    }
};

// Stores the tile, and adds it to the statistics of the target: each row of tiles is a part.
__device__ inline void store_measured(const float* sum, bf16* stages,
    const WriteTarget<false>& write, float* means, float* squares) {
    constexpr int room = statistics_room(CHUNK, TILE_COLUMNS / CHUNK);
    static_assert(room * 4 <= STAGES * (LEFT + RIGHT) * 2, "it fits");
    const Gather& the = write.the;
    Measure measure{write, {}};
    store_tile(sum, stages, measure);
    const long long part =
        static_cast<long long>(write.first_pixel / TILE_ROWS) * write.at.groups + the.group;
    const long long channel = part * the.target_channels + write.first_channel;
    write_statistics(measure.own, lanes_of_tile(), reinterpret_cast<float*>(stages),
        min(TILE_ROWS, the.pixels - write.first_pixel), the.target_channels - write.first_channel,
        means + channel, squares + channel);
}

// Tiles of channels run fastest, so that blocks which run together read the same pixels. A part of
// the depth, so many slices, leaves its sums part_elements behind those of the part before.
template <bool ADJOINT, bool STATISTICS = false>
__device__ inline void gathered(const Geometry& at, const bf16* from, const bf16* weight,
    const float* bias, const target_real* residual, int rectified, target_real* target,
    int part_slices, long long part_elements, bf16* stages, float* means = nullptr,
    float* squares = nullptr) {
    const Gather the = gather<ADJOINT>(at);
    const int tiles = (the.target_channels + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int first_channel = blockIdx.x % tiles * TILE_COLUMNS;
    const int first_pixel = blockIdx.x / tiles * TILE_ROWS;
    if (first_pixel >= the.pixels) return;
    const int before = the.part * part_slices;
    GatherSource<ADJOINT> source(
        at, the, from, weight, first_pixel, first_channel, before * SLICE);
    float sum[4 * M * N] = {};
    product<true, !ADJOINT>(source, min(part_slices, source.slices() - before), stages, sum);
    const WriteTarget<ADJOINT> write{at, the, first_pixel, first_channel, rectified, bias, residual,
        target + the.part * part_elements};
    if constexpr (STATISTICS)
        store_measured(sum, stages, write, means, squares);
    else store_tile(sum, stages, write);
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
correlate(GEOMETRY_PARAMETERS, const bf16* large, const bf16* weight, const float* bias,
    const target_real* residual, int rectified, target_real* small, int part_slices,
    long long part_elements) {
    STAGE_MEMORY(stages);
    gathered<false>(GEOMETRY, large, weight, bias, residual, rectified, small, part_slices,
        part_elements, stages);
}

// The whole depth, and the statistics of the target, of each part of TILE_ROWS pixels: see
// statistics.cuh.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
correlate_statistics(GEOMETRY_PARAMETERS, const bf16* large, const bf16* weight,
    const float* bias, target_real* small, float* means, float* squares) {
    STAGE_MEMORY(stages);
    gathered<false, true>(
        GEOMETRY, large, weight, bias, nullptr, 0, small, WHOLE, 0, stages, means, squares);
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
adjoint(GEOMETRY_PARAMETERS, const bf16* small, const bf16* weight, const float* bias,
    const target_real* residual, int rectified, target_real* large, int part_slices,
    long long part_elements) {
    STAGE_MEMORY(stages);
    gathered<true>(GEOMETRY, small, weight, bias, residual, rectified, large, part_slices,
        part_elements, stages);
}
