// From logits of corners (n, height, width, types) to the best boxes that they span.
#include "cell_box.cuh"

constexpr unsigned INFINITE = 0x7F800000u;  // bits of a float

// A found corner, as the search for pairs reads it: its logit above, y and x below.
__device__ inline Key corner(int x, int y, float logit) {
    return static_cast<Key>(__float_as_uint(logit)) << 32 | y << 16 | x;
}
__device__ inline int x_of(Key corner) { return corner & 0xFFFF; }
__device__ inline int y_of(Key corner) { return corner >> 16 & 0xFFFF; }
__device__ inline float logit_of(Key corner) { return __uint_as_float(corner >> 32); }

__device__ inline bool is_local_max(const Map& map, int x, int y, int type, int within) {
    const float logit = map.at(x, y, type);
    for (int row = max(y - within, 0); row <= min(y + within, map.height - 1); row++)
        for (int column = max(x - within, 0); column <= min(x + within, map.width - 1); column++)
            if (map.at(column, row, type) < logit) return false;
    return true;
}

// One block per corner type and image: corners (n, types, height width) from the most likely down,
// `most` at most. Log odds of `least` or more make a corner.
extern "C" __global__ void __launch_bounds__(THREADS)
find_corners(const float* logits, Key* corners, int* corner_count, int* box_count, float least,
             int height, int width, int types, int local_max, int most) {
    SHARED(Key, room, CHUNK);
    SHARED(int, found, 1);
    const int type = blockIdx.x, image = blockIdx.y, cells = height * width;
    const Map map = {logits + static_cast<long long>(image) * cells * types, height, width, types};
    Key* const list = corners + static_cast<long long>(image * types + type) * cells;
    if (!threadIdx.x) {
        found[0] = 0;
        if (!type) box_count[image] = 0;
    }
    __syncthreads();
    for (int cell = threadIdx.x; cell < cells; cell += THREADS) {
        const int x = cell % width, y = cell / width;
        const float logit = map.at(x, y, type);
        if (-2.f * logit >= least && is_local_max(map, x, y, type, local_max))
            list[atomicAdd(found, 1)] = static_cast<Key>(ordered(logit)) << 32 | cell;
    }
    __syncthreads();
    sort(list, found[0], room);
    const int count = min(found[0], most);
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int cell = static_cast<unsigned>(list[i]), x = cell % width, y = cell / width;
        list[i] = corner(x, y, map.at(x, y, type));
    }
    if (!threadIdx.x) corner_count[image * types + type] = count;
}

// All pairs of a found corner a and the opposite one b; where mirrored, of a and a found centre,
// which put b on the other side. Both sides of the box are two cells or more.
struct Pairs {
    Map map;
    const Key *firsts, *seconds;
    int first_count, second_count, a;
    bool mirrored;

    // the corner opposite of a, by the pair's second
    __device__ void opposite(Key first, Key second, int& x, int& y) const {
        x = mirrored ? 2 * x_of(second) - x_of(first) : x_of(second);
        y = mirrored ? 2 * y_of(second) - y_of(first) : y_of(second);
    }

    __device__ CellBox box(unsigned number) const {
        const Key first = firsts[number % first_count], second = seconds[number / first_count];
        const int x = x_of(first), y = y_of(first);
        int far_x, far_y;
        opposite(first, second, far_x, far_y);
        return {static_cast<unsigned short>(min(x, far_x)),
                static_cast<unsigned short>(min(y, far_y)),
                static_cast<unsigned short>(max(x, far_x)),
                static_cast<unsigned short>(max(y, far_y))};
    }

    // Calls f for each pair that is a box, with a key that is larger the better it is, of equal
    // ones the first: sums in the reference's order.
    template <class Function>
    __device__ void each(Function f) const {
        if (!first_count) return;
        int i = threadIdx.x % first_count, j = threadIdx.x / first_count;
        const int step_i = THREADS % first_count, step_j = THREADS / first_count;
        while (j < second_count) {
            const Key first = firsts[i], second = seconds[j];
            const int x = x_of(first), y = y_of(first);
            int far_x, far_y;
            opposite(first, second, far_x, far_y);
            const bool fits_x = a & 1 ? far_x < x : far_x > x, fits_y = a & 2 ? far_y < y : far_y > y;
            const bool inside = far_x >= 0 && far_x < map.width && far_y >= 0 && far_y < map.height;
            if (fits_x && fits_y && inside) {
                float sum = map.at(far_x, y, a ^ 1) + logit_of(first);
                sum += map.at(x, far_y, a ^ 2);
                sum += logit_of(second);
                if (mirrored)
                    sum += map.at(far_x, far_y, a ^ 3);
                else if (map.types > CENTRE)
                    sum += map.at(middle(x + far_x), middle(y + far_y), CENTRE);
                const unsigned number = static_cast<unsigned>(j) * first_count + i;
                // neither -inf of log odds nor NaN is a box
                if (sum < __uint_as_float(INFINITE)) f(static_cast<Key>(ordered(-sum)) << 32 | ~number);
            }
            i += step_i, j += step_j;
            if (i >= first_count) i -= first_count, j++;
        }
    }
};

// One block per kind of pair and image: two diagonals, and the four corners with their centres
// where there are centres. Adds the ranks of the `count` best boxes of the kind to `ranks`.
extern "C" __global__ void __launch_bounds__(THREADS)
find_pairs(const float* logits, const Key* corners, const int* corner_count, Key* ranks,
           int* box_count, int height, int width, int types, int count) {
    SHARED(Key, room, CHUNK);
    SHARED(unsigned, totals, BINS);
    const int image = blockIdx.y, cells = height * width;
    const bool mirrored = blockIdx.x >= 2;
    const int a = mirrored ? blockIdx.x - 2 : blockIdx.x, b = mirrored ? CENTRE : a ^ 3;
    corners += static_cast<long long>(image) * types * cells;
    corner_count += image * types;
    ranks += static_cast<long long>(image) * gridDim.x * count;
    const Pairs pairs = {
        {logits + static_cast<long long>(image) * cells * types, height, width, types},
        corners + static_cast<long long>(a) * cells,
        corners + static_cast<long long>(b) * cells,
        corner_count[a], corner_count[b], a, mirrored};
    const Key floor = largest(pairs, count, room, totals);
    pairs.each([&](Key key) {
        if (key < floor) return;
        const int place = atomicAdd(box_count + image, 1);  // in any order: they are sorted next
        ranks[place] = pairs.map.rank(pairs.box(~static_cast<unsigned>(key)));
    });
}

// One block per image: the `most` best of the boxes found, each once. `parent`, where there is
// one, begins as a cluster for each box.
extern "C" __global__ void __launch_bounds__(THREADS)
take_best(const float* logits, Key* ranks, const int* box_count, CellBox* boxes, int* found,
          int* parent, int height, int width, int types, int kinds, int most) {
    SHARED(Key, room, CHUNK);
    SHARED(int, warp_counts, WARPS);
    const int image = blockIdx.x, count = box_count[image];
    const Map map = {logits, height, width, types};
    ranks += static_cast<long long>(image) * kinds * most;
    boxes += static_cast<long long>(image) * most;
    sort(ranks, count, room);
    int taken = 0;
    for (int start = 0; start < count && taken < most; start += THREADS) {
        const int i = start + threadIdx.x;
        const bool is_new = i < count && (!i || ranks[i] != ranks[i - 1]);
        int many;
        const int place = taken + place_of(is_new, warp_counts, many);
        if (is_new && place < most) {
            boxes[place] = map.box(ranks[i]);
            if (parent) parent[static_cast<long long>(image) * most + place] = place;
        }
        taken += many;
    }
    if (!threadIdx.x) found[image] = min(taken, most);
}
