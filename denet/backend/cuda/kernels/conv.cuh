// Where the elements of a (transposed) convolution lie. Two maps meet in one: windows slide over
// the large map (images, height, width, channels), and each is one pixel of the small map:
//
//   small[n, i, j, s]  and  large[n, i * stride + a - top, j * stride + b - left, l]
//
// meet in weight[s, a, b, l], where top and left count the padding. Three products follow, each a
// product of matrices whose rows are gathered pixels: correlate (small from large), its adjoint
// (large from small), and by weight. A convolution goes forward by the first, a transposed one by
// the second. An int counts pixels and weights (conv_geometry.py refuses more); elements of maps
// take a long long.

struct Geometry {
    int images;
    int large_height, large_width, large_channels;  // channels of one group
    int small_height, small_width, small_channels;
    int window_height, window_width, stride_height, stride_width;
    int padding_top, padding_left;
    int groups;
};

#define GEOMETRY_PARAMETERS                                                                     \
    int images, int large_height, int large_width, int large_channels, int small_height,        \
        int small_width, int small_channels, int window_height, int window_width,               \
        int stride_height, int stride_width, int padding_top, int padding_left, int groups
#define GEOMETRY                                                                                \
    Geometry {                                                                                  \
        images, large_height, large_width, large_channels, small_height, small_width,           \
            small_channels, window_height, window_width, stride_height, stride_width,           \
            padding_top, padding_left, groups                                                   \
    }

// A number written in three digits, such as a pixel as (image, row, column). The bases of the lower
// digits are the caller's; addition takes one carry each and no division.
struct Digits {
    int high, middle, low;
};

__device__ inline Digits digits(int value, int middle_base, int low_base) {
    const int above = value / low_base;
    const int high = above / middle_base;
    return Digits{high, above - high * middle_base, value - above * low_base};
}

__device__ inline void add(Digits& x, const Digits& step, int middle_base, int low_base) {
    x.low += step.low;
    x.middle += step.middle;
    x.high += step.high;
    if (x.low >= low_base) {
        x.low -= low_base;
        x.middle++;
    }
    if (x.middle >= middle_base) {
        x.middle -= middle_base;
        x.high++;
    }
}

// One direction of a gathering product: target cell r lies at first + r * step, and its tap t reads
// the source at r * scale + t * direction + origin and the weights at first_tap + t * tap_step.
struct Axis {
    int count, taps;  // cells of the target, taps that reach each
    int first, step;
    int scale, direction, origin, limit;  // limit: cells of the source
    int first_tap, tap_step;
};

__device__ inline Axis correlate_axis(int large, int small, int window, int stride, int before) {
    return Axis{small, window, 0, 1, stride, 1, -before, large, 0, 1};
}

// The adjoint falls into phases, one per remainder of a large map's cell by the stride: cells of
// one phase are reached by the same taps, every stride-th one. A phase may have no cell or no tap.
__device__ inline Axis adjoint_axis(
    int large, int small, int window, int stride, int before, int phase) {
    const int first = (phase + stride - before % stride) % stride;
    const int count = first < large ? (large - first + stride - 1) / stride : 0;
    const int taps = phase < window ? (window - phase + stride - 1) / stride : 0;
    return Axis{count, taps, first, stride, 1, -1, (first + before) / stride, small, phase, stride};
}

constexpr int WHOLE = 1 << 30;  // slices of a part: more than any depth has

// What one block of a gathering product works on: group blockIdx.z % groups; of the adjoint also
// a phase, and before all that a part of the depth.
struct Gather {
    Axis rows, columns;
    int group, part, pixels, depth;  // pixels of the target; taps * source channels
    int source_channels, target_channels;  // of one group
};

template <bool ADJOINT>
__device__ inline Gather gather(const Geometry& at) {
    Gather the;
    the.group = blockIdx.z % at.groups;
    if (ADJOINT) {
        const int phases = at.stride_height * at.stride_width, layer = blockIdx.z / at.groups;
        const int phase = layer % phases;
        the.part = layer / phases;
        the.rows = adjoint_axis(at.large_height, at.small_height, at.window_height,
            at.stride_height, at.padding_top, phase / at.stride_width);
        the.columns = adjoint_axis(at.large_width, at.small_width, at.window_width,
            at.stride_width, at.padding_left, phase % at.stride_width);
        the.source_channels = at.small_channels;
        the.target_channels = at.large_channels;
    } else {
        the.part = blockIdx.z / at.groups;
        the.rows = correlate_axis(
            at.large_height, at.small_height, at.window_height, at.stride_height, at.padding_top);
        the.columns = correlate_axis(
            at.large_width, at.small_width, at.window_width, at.stride_width, at.padding_left);
        the.source_channels = at.large_channels;
        the.target_channels = at.small_channels;
    }
    the.pixels = at.images * the.rows.count * the.columns.count;
    the.depth = the.rows.taps * the.columns.taps * the.source_channels;
    return the;
}

// A target pixel as the source sees it: the pixel that tap (0, 0) reads, and where it lies. Beyond
// the map pixels are counted as if its rows went on.
struct Origin {
    int pixel, row, column;
};

constexpr int NOWHERE = -(1 << 29);  // a row that no tap brings back onto the map

__device__ inline Origin origin(const Gather& the, int pixel) {
    if (pixel >= the.pixels) return Origin{0, NOWHERE, NOWHERE};
    const Digits cell = digits(pixel, the.rows.count, the.columns.count);
    const int row = cell.middle * the.rows.scale + the.rows.origin;
    const int column = cell.low * the.columns.scale + the.columns.origin;
    return Origin{
        (cell.high * the.rows.limit + row) * the.columns.limit + column, row, column};
}

// The index of a pixel, and whether it is one: padding is not.
struct Found {
    int pixel;
    bool inside;
};

__device__ inline bool within(int row, int column, int height, int width) {
    return static_cast<unsigned>(row) < static_cast<unsigned>(height) &&
        static_cast<unsigned>(column) < static_cast<unsigned>(width);
}

// The source pixel that a tap reads.
__device__ inline Found source_pixel(const Gather& the, const Origin& from, const Digits& tap) {
    const int down = tap.high * the.rows.direction, right = tap.middle * the.columns.direction;
    return Found{from.pixel + down * the.columns.limit + right,
        within(from.row + down, from.column + right, the.rows.limit, the.columns.limit)};
}

// The index of a tap among the cells of the window.
__device__ inline int window_cell(const Geometry& at, const Gather& the, const Digits& tap) {
    return (the.rows.first_tap + tap.high * the.rows.tap_step) * at.window_width +
        the.columns.first_tap + tap.middle * the.columns.tap_step;
}

// The index of a target pixel in its whole map.
template <bool ADJOINT>
__device__ inline int target_pixel(const Geometry& at, const Gather& the, int pixel) {
    if (!ADJOINT) return pixel;
    const Digits cell = digits(pixel, the.rows.count, the.columns.count);
    const int row = the.rows.first + cell.middle * the.rows.step;
    const int column = the.columns.first + cell.low * the.columns.step;
    return (cell.high * at.large_height + row) * at.large_width + column;
}

// The large pixel that meets a small one (image, row, column) in a cell of the window.
__device__ inline Found met_pixel(
    const Geometry& at, const Digits& small, int window_row, int window_column) {
    const int row = small.middle * at.stride_height + window_row - at.padding_top;
    const int column = small.low * at.stride_width + window_column - at.padding_left;
    return Found{(small.high * at.large_height + row) * at.large_width + column,
        within(row, column, at.large_height, at.large_width)};
}
