// The gradient of the weights of a (transposed) convolution (conv.cuh) on tensor cores: both maps
// bf16, their channels filled up to chunks of 8 as for conv_tensor.cu; the result is float32.
#include "conv_tensor.cuh"

// Rows are small channels, columns (window row, window column, large channel), depth small pixels.
struct WeightSource {
    using Left = Deal<TILE_ROWS, SLICE>;
    using Right = Deal<TILE_COLUMNS, SLICE>;

    const Geometry& at;
    const bf16* small;              // the left chunk in the pixel of the first line
    const bf16* large;              // the right chunk in the first pixel of the map
    int small_pitch, large_pitch;   // of a pixel
    int left_pixels, right_pixels;  // to come from the first line on; none beyond the channels
    Digits column;                  // of the right chunk: only its place in the window matters
    Digits pixels[Right::count], step;

    __device__ WeightSource(const Geometry& geometry, const bf16* small_map, const bf16* large_map,
        int group, int first_row, int first_column, int first, int end)
        : at(geometry) {
        const int small_channels = up_to_chunk(at.small_channels);
        const int large_channels = up_to_chunk(at.large_channels);
        small_pitch = small_channels * at.groups;
        large_pitch = large_channels * at.groups;
        const int s = first_row + Left::chunk() * CHUNK, pixel = first + Left::first_line();
        left_pixels = s < small_channels ? end - pixel : 0;
        small = row_of(small_map, pixel, small_pitch) + group * small_channels + s;
        column = digits(
            first_column + Right::chunk() * CHUNK, at.window_width, large_channels);
        right_pixels = column.high < at.window_height ? end - first - Right::first_line() : 0;
        large = large_map + group * large_channels + column.low;
        for (int i = 0; i < Right::count; i++)
            pixels[i] = digits(first + Right::first_line() + Right::apart * i, at.small_height,
                at.small_width);
        step = digits(SLICE, at.small_height, at.small_width);
    }

    __device__ void next(bf16* left, bf16* right) {
#pragma unroll
        for (int i = 0; i < Left::count; i++) {  // all lines: a slice of pixels
            Left::copy(left, i, small, Left::apart * i < left_pixels);
            small = row_of(small, Left::apart, small_pitch);
        }
#pragma unroll
        for (int i = 0; i < Right::count; i++) {
            const Found met = met_pixel(at, pixels[i], column.high, column.middle);
            Right::copy(right, i, row_of(large, met.pixel, large_pitch),
                met.inside && Right::apart * i < right_pixels);
            add(pixels[i], step, at.small_height, at.small_width);
        }
        left_pixels -= SLICE;
        right_pixels -= SLICE;
    }
};

// sums[row][window cell][large channel], without what fills the channels up
struct WriteSums {
    const Geometry& at;
    int first_row, first_column;
    long long first_sum_row;
    float* sums;

    __device__ void operator()(int row, int column, const float* values) const {
        if (first_row + row >= at.small_channels) return;
        const int filled = up_to_chunk(at.large_channels);
        const int cell = (first_column + column) / filled;
        const int l = first_column + column - cell * filled;
        const int window = at.window_height * at.window_width;
        if (cell >= window) return;
        float* const to =
            sums + ((first_sum_row + first_row + row) * window + cell) * at.large_channels + l;
        if (filled == at.large_channels) {
            store_chunk(to, values);
            return;
        }
        const int count = min(CHUNK, at.large_channels - l);
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            if (i < count) to[i] = values[i];
    }
};

// Block (tile, 0, part * groups + group) sums the pixels of its part. ``sums`` holds one whole
// weight gradient per part, which sum_parts of conv_parts.cu adds.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
by_weight(GEOMETRY_PARAMETERS, const bf16* large, const bf16* small, int part_pixels,
    float* sums) {
    STAGE_MEMORY(stages);
    const Geometry at = GEOMETRY;
    const int width = at.window_height * at.window_width * up_to_chunk(at.large_channels);
    const int tiles = (width + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int first_row = blockIdx.x / tiles * TILE_ROWS;
    const int first_column = blockIdx.x % tiles * TILE_COLUMNS;
    const int group = blockIdx.z % at.groups, first = blockIdx.z / at.groups * part_pixels;
    const int end = min(first + part_pixels, at.images * at.small_height * at.small_width);
    WeightSource source(at, small, large, group, first_row, first_column, first, end);
    float sum[4 * M * N] = {};
    product<false, false>(source, (end - first + SLICE - 1) / SLICE, stages, sum);
    const long long sum_row = static_cast<long long>(blockIdx.z) * at.small_channels;
    const WriteSums write{at, first_row, first_column, sum_row, sums};
    store_tile(sum, stages, write);
}
