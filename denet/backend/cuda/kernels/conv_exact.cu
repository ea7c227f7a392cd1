// The three products of a (transposed) convolution (conv.cuh) on plain float units, for any shape
// and element type: sums in float32. A block computes a tile of 64 x 64 results, a thread 4 x 4 of
// them, from slices of 16 steps of depth that pass through shared memory.
// -D large_real, small_real: the element types of the two maps. Weights are float32 (s, a, b, l).
#include "port.cuh"
#include "conv.cuh"
#include "statistics.cuh"

constexpr int TILE = 64, SLICE = 16, EACH = 4;  // EACH = TILE / SLICE elements that a thread loads
constexpr int PITCH = TILE + 4;  // of a slice in shared memory: rows begin in other banks

// The sums of one thread, and the elements of the next slice on their way to shared memory.
struct Tile {
    float sum[EACH][EACH];
    float left[EACH], right[EACH];
};

__device__ inline void multiply(const float* left, const float* right, Tile& tile) {
    const int row = threadIdx.x / SLICE * EACH, column = threadIdx.x % SLICE * EACH;
#pragma unroll
    for (int k = 0; k < SLICE; k++) {
        const float4 a = *reinterpret_cast<const float4*>(left + k * PITCH + row);
        const float4 b = *reinterpret_cast<const float4*>(right + k * PITCH + column);
        const float as[EACH] = {a.x, a.y, a.z, a.w}, bs[EACH] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < EACH; i++)
#pragma unroll
            for (int j = 0; j < EACH; j++) tile.sum[i][j] += as[i] * bs[j];
    }
}

// Runs over the depth. A Source puts the elements of this thread of its next slice into
// tile.left and tile.right, moves on, and says where in shared memory each of them belongs.
template <class Source>
__device__ inline void product(Source& source, int slices, float* left, float* right, Tile& tile) {
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) tile.sum[i][j] = 0.f;
    if (slices > 0) source.next(tile);
    for (int slice = 0; slice < slices; slice++) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            left[source.left_place(i)] = tile.left[i];
            right[source.right_place(i)] = tile.right[i];
        }
        __syncthreads();
        if (slice + 1 < slices) source.next(tile);
        multiply(left, right, tile);
        __syncthreads();
    }
}

// A thread takes one step of depth of four rows, or one column of four steps.
__device__ inline int by_row(int i) {
    return threadIdx.x % SLICE * PITCH + threadIdx.x / SLICE + SLICE * i;
}
__device__ inline int by_column(int i) {
    return (threadIdx.x / TILE + EACH * i) * PITCH + threadIdx.x % TILE;
}

// Rows are target pixels, columns target channels, depth is (tap row, tap column, source channel).
template <bool ADJOINT, class From>
struct GatherSource {
    const Geometry& at;
    const Gather& the;
    const From* from;
    const float* weight;
    Origin origins[EACH];
    Digits depth, step;       // of the elements of the left slice
    int row_depth[EACH];      // the adjoint's right slice: depth of each element
    int channel;              // the adjoint's right slice: target channel
    int first_channel;        // of the tile

    __device__ GatherSource(const Geometry& geometry, const Gather& product, const From* source,
        const float* weights, int first_pixel, int first_target_channel, int start)
        : at(geometry), the(product), from(source), weight(weights),
          first_channel(first_target_channel) {
        for (int i = 0; i < EACH; i++) {
            origins[i] = origin(the, first_pixel + threadIdx.x / SLICE + SLICE * i);
            row_depth[i] = start + threadIdx.x / TILE + EACH * i;
        }
        if (the.depth == 0) return;
        depth = digits(start + threadIdx.x % SLICE, the.columns.taps, the.source_channels);
        step = digits(SLICE, the.columns.taps, the.source_channels);
        channel = first_channel + threadIdx.x % TILE;
    }

    __device__ int left_place(int i) const { return by_row(i); }
    __device__ int right_place(int i) const { return ADJOINT ? by_column(i) : by_row(i); }

    __device__ void next(Tile& tile) {
        const bool inside = depth.high < the.rows.taps;
        const int cell = window_cell(at, the, depth);
        const int window = at.window_height * at.window_width;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const Found found = source_pixel(the, origins[i], depth);
            const long long element =
                (static_cast<long long>(found.pixel) * at.groups + the.group) *
                    the.source_channels +
                depth.low;
            tile.left[i] = inside && found.inside ? load(from + element) : 0.f;
            tile.right[i] = ADJOINT ? adjoint_weight(i, window)
                                    : correlate_weight(i, window, inside, cell);
        }
        add(depth, step, the.columns.taps, the.source_channels);
    }

    __device__ float correlate_weight(int i, int window, bool inside, int cell) const {
        const int filter = first_channel + threadIdx.x / SLICE + SLICE * i;
        if (!inside || filter >= the.target_channels) return 0.f;
        const int s = the.group * the.target_channels + filter;
        return weight[(s * window + cell) * the.source_channels + depth.low];
    }

    __device__ float adjoint_weight(int i, int window) {
        const int k = row_depth[i];
        row_depth[i] += SLICE;
        if (k >= the.depth || channel >= the.target_channels) return 0.f;
        const Digits tap = digits(k, the.columns.taps, the.source_channels);
        const int s = the.group * the.source_channels + tap.low;
        return weight[(s * window + window_cell(at, the, tap)) * the.target_channels + channel];
    }
};

// What a block, at the given pixel and channel, adds to the statistics of the target: its sums are
// those that were stored, and each row of tiles is a part.
__device__ inline void measure(const Gather& the, const Tile& tile, int groups, int first_pixel,
    int first_channel, float* room, float* means, float* squares) {
    static_assert(statistics_room(EACH, TILE / EACH) <= 2 * SLICE * PITCH, "it fits");
    const Lanes at = lanes_of(TILE / EACH);
    const int rows = min(TILE, the.pixels - first_pixel);
    Measured<EACH> own;
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (at.lane * EACH + i < rows) own.row(tile.sum[i]);
    const long long part = static_cast<long long>(first_pixel / TILE) * groups + the.group;
    const long long channel = part * the.target_channels + first_channel;
    write_statistics(own, at, room, rows, the.target_channels - first_channel, means + channel,
        squares + channel);
}

// target = product + bias + residual, at least 0 where rectified. Tiles of channels run fastest, so
// that blocks which run together read the same pixels. A part of the depth, so many slices, leaves
// its sums part_elements behind those of the part before.
template <bool ADJOINT, bool STATISTICS = false, class From, class To>
__device__ inline void gathered(const Geometry& at, const From* from, const float* weight,
    const float* bias, const To* residual, int rectified, To* target, int part_slices,
    long long part_elements, float* left, float* right, float* means = nullptr,
    float* squares = nullptr) {
    const Gather the = gather<ADJOINT>(at);
    const int tiles = (the.target_channels + TILE - 1) / TILE;
    const int first_channel = blockIdx.x % tiles * TILE, first_pixel = blockIdx.x / tiles * TILE;
    if (first_pixel >= the.pixels) return;
    const int before = the.part * part_slices;
    GatherSource<ADJOINT, From> source(
        at, the, from, weight, first_pixel, first_channel, before * SLICE);
    Tile tile;
    const int slices = (the.depth + SLICE - 1) / SLICE - before;
    product(source, min(part_slices, slices), left, right, tile);
    To* const sums = target + the.part * part_elements;
    for (int i = 0; i < EACH; i++) {
        const int pixel = first_pixel + threadIdx.x / SLICE * EACH + i;
        if (pixel >= the.pixels) break;
        const long long row =
            static_cast<long long>(target_pixel<ADJOINT>(at, the, pixel)) * at.groups + the.group;
        for (int j = 0; j < EACH; j++) {
            const int channel = first_channel + threadIdx.x % SLICE * EACH + j;
            if (channel >= the.target_channels) break;
            const long long element = row * the.target_channels + channel;
            float y = tile.sum[i][j];
            if (bias) y += bias[the.group * the.target_channels + channel];
            if (residual) y += load(residual + element);
            To kept;
            store(&kept, rectified ? relu(y) : y);
            sums[element] = kept;
            if (STATISTICS) tile.sum[i][j] = load(&kept);
        }
    }
    if (STATISTICS)
        measure(the, tile, at.groups, first_pixel, first_channel, left, means, squares);
}

extern "C" __global__ void __launch_bounds__(THREADS)
correlate(GEOMETRY_PARAMETERS, const large_real* large, const float* weight, const float* bias,
    const small_real* residual, int rectified, small_real* small, int part_slices,
    long long part_elements) {
    SHARED(float, left, SLICE * PITCH);
    SHARED(float, right, SLICE * PITCH);
    gathered<false>(GEOMETRY, large, weight, bias, residual, rectified, small, part_slices,
        part_elements, left, right);
}

// The whole depth, and the statistics of the target, of each part of 64 pixels: see statistics.cuh.
extern "C" __global__ void __launch_bounds__(THREADS)
correlate_statistics(GEOMETRY_PARAMETERS, const large_real* large, const float* weight,
    const float* bias, small_real* small, float* means, float* squares) {
    SHARED(float, room, 2 * SLICE * PITCH);
    const small_real* const none = nullptr;
    gathered<false, true>(GEOMETRY, large, weight, bias, none, 0, small, WHOLE, 0, room,
        room + SLICE * PITCH, means, squares);
}

extern "C" __global__ void __launch_bounds__(THREADS)
adjoint(GEOMETRY_PARAMETERS, const small_real* small, const float* weight, const float* bias,
    const large_real* residual, int rectified, large_real* large, int part_slices,
    long long part_elements) {
    SHARED(float, left, SLICE * PITCH);
    SHARED(float, right, SLICE * PITCH);
    gathered<true>(GEOMETRY, small, weight, bias, residual, rectified, large, part_slices,
        part_elements, left, right);
}

// Rows are small channels, columns (window row, window column, large channel), depth small pixels.
struct WeightSource {
    const Geometry& at;
    const large_real* large;
    const small_real* small;
    int group, channel, end;  // channel: of the small map, -1 beyond it; end: of the part's pixels
    Digits column;            // of the right slice; high = window_height beyond the last
    Digits pixel[EACH], step;
    int count[EACH];          // which pixel that is

    __device__ int left_place(int i) const { return by_column(i); }
    __device__ int right_place(int i) const { return by_column(i); }

    __device__ void next(Tile& tile) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            tile.left[i] = tile.right[i] = 0.f;
            if (count[i] < end) {
                const long long row = static_cast<long long>(count[i]) * at.groups + group;
                if (channel >= 0) tile.left[i] = load(small + row * at.small_channels + channel);
                const Found met = met_pixel(at, pixel[i], column.high, column.middle);
                const long long element =
                    (static_cast<long long>(met.pixel) * at.groups + group) * at.large_channels;
                if (column.high < at.window_height && met.inside)
                    tile.right[i] = load(large + element + column.low);
            }
            count[i] += SLICE;
            add(pixel[i], step, at.small_height, at.small_width);
        }
    }
};

// Block (tile, 0, part * groups + group) sums the pixels of its part. ``sums`` holds one whole
// weight gradient per part, which sum_parts of conv_parts.cu adds.
extern "C" __global__ void __launch_bounds__(THREADS)
by_weight(GEOMETRY_PARAMETERS, const large_real* large, const small_real* small, int part_pixels,
    float* sums) {
    SHARED(float, left, SLICE * PITCH);
    SHARED(float, right, SLICE * PITCH);
    const Geometry at = GEOMETRY;
    const int width = at.window_height * at.window_width * at.large_channels;
    const int tiles = (width + TILE - 1) / TILE;
    const int first_row = blockIdx.x / tiles * TILE, first_column = blockIdx.x % tiles * TILE;
    const int group = blockIdx.z % at.groups, part = blockIdx.z / at.groups;
    const int first = part * part_pixels;
    const int end = min(first + part_pixels, at.images * at.small_height * at.small_width);

    const int channel = first_row + threadIdx.x % TILE;
    WeightSource source{at, large, small, group, channel < at.small_channels ? channel : -1, end,
        digits(first_column + threadIdx.x % TILE, at.window_width, at.large_channels)};
    for (int i = 0; i < EACH; i++) {
        source.count[i] = first + threadIdx.x / TILE + EACH * i;
        source.pixel[i] = digits(source.count[i], at.small_height, at.small_width);
    }
    source.step = digits(SLICE, at.small_height, at.small_width);
    Tile tile;
    product(source, (end - first + SLICE - 1) / SLICE, left, right, tile);

    const long long row = static_cast<long long>(blockIdx.z) * at.small_channels + first_row;
    for (int i = 0; i < EACH; i++) {
        const int s = threadIdx.x / SLICE * EACH + i;
        if (first_row + s >= at.small_channels) break;
        for (int j = 0; j < EACH; j++) {
            const int l = first_column + threadIdx.x % SLICE * EACH + j;
            if (l >= width) break;
            sums[(row + s) * width + l] = tile.sum[i][j];
        }
    }
}
