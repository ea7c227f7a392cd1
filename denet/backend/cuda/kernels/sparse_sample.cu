// Directed sparse sampling: a G x G grid of points over each box reads cells of a map; the gradient
// of a cell is pulled from the points that read it, boxes in their order: no atomics.
// -D LARGEST_GRID bounds G, FEW is how many words of features a lane sums.
#include "port.cuh"

constexpr int WARPS = THREADS / 32;

// neighbouring features that one instruction moves
template <int SIZE>
struct __align__(SIZE * sizeof(real)) Features {
    real value[SIZE];
};

// the cell that a point reads along one axis, of `length`; rounds step by step as the reference
__device__ inline int nearest(float low, float high, int step, int grid, int length) {
    const float part = grid > 1 ? step : 1.f, whole = grid > 1 ? grid - 1 : 2.f;
    const float way = __fdiv_rn(__fmul_rn(part, __fsub_rn(high, low)), whole);
    const float point = __fmul_rn(__fadd_rn(low, way), length);
    return static_cast<int>(floorf(fminf(fmaxf(point, 0.f), length - 1) + 0.5f));
}

// One block per box; a warp copies the features of a point, lane by lane.
template <int SIZE>
__device__ inline void gather(
    const real* __restrict__ x, const float4* __restrict__ sample, real* __restrict__ y,
    int boxes, int height, int width, int features, int grid, int* row, int* column) {
    const float4 box = sample[blockIdx.x];
    for (int step = threadIdx.x; step < grid; step += THREADS) {
        row[step] = nearest(box.y, box.w, step, grid, height);
        column[step] = nearest(box.x, box.z, step, grid, width);
    }
    __syncthreads();
    const long long map = static_cast<long long>(blockIdx.x / boxes) * height * width * features;
    const int points = grid * grid, words = features / SIZE;
    const auto* from = reinterpret_cast<const Features<SIZE>*>(x + map);
    real* const place = y + static_cast<long long>(blockIdx.x) * (points * features + 2);
    auto* const to = reinterpret_cast<Features<SIZE>*>(place);
    for (int word = threadIdx.x % 32; word < words; word += 32) {
#pragma unroll 4
        for (int point = threadIdx.x / 32; point < points; point += WARPS) {
            const int cell = row[point / grid] * width + column[point % grid];
            to[point * words + word] = from[static_cast<long long>(cell) * words + word];
        }
    }
    if (threadIdx.x) return;
    store(place + points * features, __fsub_rn(box.w, box.y));
    store(place + points * features + 1, __fsub_rn(box.z, box.x));
}

extern "C" __global__ void __launch_bounds__(THREADS)
gather_1(const real* x, const float4* sample, real* y, int boxes, int height, int width,
         int features, int grid) {
    SHARED(int, row, LARGEST_GRID);
    SHARED(int, column, LARGEST_GRID);
    gather<1>(x, sample, y, boxes, height, width, features, grid, row, column);
}

extern "C" __global__ void __launch_bounds__(THREADS)
gather_2(const real* x, const float4* sample, real* y, int boxes, int height, int width,
         int features, int grid) {
    SHARED(int, row, LARGEST_GRID);
    SHARED(int, column, LARGEST_GRID);
    gather<2>(x, sample, y, boxes, height, width, features, grid, row, column);
}

// Steps of a box that read one row or column follow each other.
struct Span {
    int first, count;
};

// A box that reads this row: which of its rows of points do.
struct Reader {
    int box;
    Span rows;
};

__device__ inline bool between(int value, int a, int b) {
    return value >= min(a, b) && value <= max(a, b);
}

// Whether a box reads the row `y` within columns x to x + WARPS - 1, and by which rows of points.
__device__ inline bool reads(
    const float4& box, int x, int y, int height, int width, int grid, Span& rows) {
    const int left = nearest(box.x, box.z, 0, grid, width);
    const int right = nearest(box.x, box.z, grid - 1, grid, width);
    rows = {0, 0};
    if (max(left, right) < x || min(left, right) >= x + WARPS) return false;
    if (!between(y, nearest(box.y, box.w, 0, grid, height),
                 nearest(box.y, box.w, grid - 1, grid, height)))
        return false;
    for (int step = 0; step < grid; step++)
        if (nearest(box.y, box.w, step, grid, height) == y && !rows.count++) rows.first = step;
    return rows.count;
}

// One block per WARPS cells of a row and 32 FEW SIZE features; a warp pulls one cell. THREADS boxes
// at a time: those that read the row are listed in order, then every warp looks through the list.
template <int SIZE>
__device__ inline void pull(
    const real* __restrict__ g, const float4* __restrict__ sample, real* __restrict__ gx,
    int boxes, int height, int width, int features, int grid, Reader* readers,
    unsigned short* columns, int* warp_counts) {
    constexpr int tile = 32 * SIZE * FEW;
    const int tiles = (features + tile - 1) / tile;
    const int image = blockIdx.z / tiles, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int feature = blockIdx.z % tiles * tile + lane * SIZE;  // the first of this lane
    const int y = blockIdx.y, first_x = blockIdx.x * WARPS, x = first_x + warp;
    const int length = grid * grid * features + 2;
    sample += static_cast<long long>(image) * boxes;
    g += static_cast<long long>(image) * boxes * length;
    float sum[FEW][SIZE] = {};
    for (int start = 0; start < boxes; start += THREADS) {
        const int box = start + threadIdx.x;
        Span rows;
        bool is_reader = false;
        float4 sides = make_float4(0.f, 0.f, 0.f, 0.f);
        if (box < boxes) {
            sides = sample[box];
            is_reader = reads(sides, first_x, y, height, width, grid, rows);
        }
        const unsigned votes = __ballot_sync(~0u, is_reader);
        if (!lane) warp_counts[warp] = __popc(votes);
        __syncthreads();
        int place = __popc(votes & ((1u << lane) - 1)), count = 0;
        for (int other = 0; other < WARPS; other++) {
            if (other < warp) place += warp_counts[other];
            count += warp_counts[other];
        }
        if (is_reader) {
            readers[place] = {box, rows};
            for (int step = 0; step < grid; step++)
                columns[place * LARGEST_GRID + step] =
                    nearest(sides.x, sides.z, step, grid, width);
        }
        __syncthreads();
        for (int group = 0; group < count; group += 32) {
            Span mine = {0, 0};
            if (group + lane < count)
                for (int step = 0; step < grid; step++)
                    if (columns[(group + lane) * LARGEST_GRID + step] == x && !mine.count++)
                        mine.first = step;
            unsigned hits = __ballot_sync(~0u, mine.count > 0);
            for (; hits; hits &= hits - 1) {
                const int hit = __ffs(hits) - 1;
                const Reader reader = readers[group + hit];
                const int first = __shfl_sync(~0u, mine.first, hit);
                const int many = __shfl_sync(~0u, mine.count, hit);
                for (int point = 0; point < reader.rows.count * many; point++) {
                    const int row = reader.rows.first + point / many, column = first + point % many;
                    const real* const from = g + static_cast<long long>(reader.box) * length +
                                             (row * grid + column) * features + feature;
#pragma unroll
                    for (int few = 0; few < FEW; few++) {
                        if (feature + few * 32 * SIZE >= features) continue;
                        const auto read =
                            *reinterpret_cast<const Features<SIZE>*>(from + few * 32 * SIZE);
                        for (int i = 0; i < SIZE; i++) sum[few][i] += load(read.value + i);
                    }
                }
            }
        }
        __syncthreads();
    }
    if (x >= width) return;
    real* const to = gx + ((static_cast<long long>(image) * height + y) * width + x) * features;
    for (int few = 0; few < FEW; few++) {
        if (feature + few * 32 * SIZE >= features) continue;
        Features<SIZE> written;
        for (int i = 0; i < SIZE; i++) store(written.value + i, sum[few][i]);
        *reinterpret_cast<Features<SIZE>*>(to + feature + few * 32 * SIZE) = written;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
pull_1(const real* g, const float4* sample, real* gx, int boxes, int height, int width,
       int features, int grid) {
    SHARED(Reader, readers, THREADS);
    SHARED(unsigned short, columns, THREADS * LARGEST_GRID);
    SHARED(int, warp_counts, WARPS);
    pull<1>(g, sample, gx, boxes, height, width, features, grid, readers, columns, warp_counts);
}

extern "C" __global__ void __launch_bounds__(THREADS)
pull_2(const real* g, const float4* sample, real* gx, int boxes, int height, int width,
       int features, int grid) {
    SHARED(Reader, readers, THREADS);
    SHARED(unsigned short, columns, THREADS * LARGEST_GRID);
    SHARED(int, warp_counts, WARPS);
    pull<2>(g, sample, gx, boxes, height, width, features, grid, readers, columns, warp_counts);
}
