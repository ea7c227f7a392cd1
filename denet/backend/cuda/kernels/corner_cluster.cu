// Of boxes that overlap, single linkage by IoU, the biggest clusters give some each.
#include "cell_box.cuh"

// Parents have lower numbers, so the root is the first box of its cluster in whatever order the
// links are made. Others may change parents meanwhile: what is read late is an ancestor still.
__device__ inline int root(volatile int* parent, int box) {
    while (true) {
        const int above = parent[box];
        if (above == box) return box;
        const int next = parent[above];
        if (next != above) parent[box] = next;
        box = above;
    }
}

__device__ inline void unite(int* parent, int one, int other) {
    while (true) {
        one = root(parent, one);
        other = root(parent, other);
        if (one == other) return;
        const int low = min(one, other), high = max(one, other);
        if (atomicCAS(parent + high, high, low) == high) return;
    }
}

// areas of cells are whole numbers: only the quotient rounds
__device__ inline bool overlap(const CellBox& a, const CellBox& b, float threshold) {
    const int width = min(a.x1, b.x1) + 1 - max(a.x0, b.x0);
    const int height = min(a.y1, b.y1) + 1 - max(a.y0, b.y0);
    if (width <= 0 || height <= 0) return false;
    const int shared = width * height;
    return __fdiv_rn(shared, area(a) + area(b) - shared) > threshold;
}

// One block per THREADS boxes, as many others at or behind them, and image.
extern "C" __global__ void __launch_bounds__(THREADS)
link(const CellBox* boxes, const int* found, int* parent, int most, float threshold) {
    SHARED(CellBox, others, THREADS);
    const int image = blockIdx.z, count = found[image];
    const int start = blockIdx.x * THREADS, other_start = blockIdx.y * THREADS;
    if (other_start < start || other_start >= count) return;
    boxes += static_cast<long long>(image) * most;
    parent += static_cast<long long>(image) * most;
    const int mine = start + threadIdx.x, many = min(THREADS, count - other_start);
    if (threadIdx.x < many) others[threadIdx.x] = boxes[other_start + threadIdx.x];
    __syncthreads();
    if (mine >= count) return;
    const CellBox box = boxes[mine];
    for (int i = max(mine + 1 - other_start, 0); i < many; i++)
        if (overlap(box, others[i], threshold)) unite(parent, mine, other_start + i);
}

// Clusters, sorted by their first box: larger keys are bigger clusters, of equal ones the first.
struct Clusters {
    const int *parent, *first, *last;
    int count;

    __device__ long long size(int root) const { return last[root] - first[root]; }

    __device__ Key key(int root) const {
        return static_cast<Key>(size(root)) << 32 | ~static_cast<unsigned>(root);
    }

    template <class Function>
    __device__ void each(Function f) const {
        for (int box = threadIdx.x; box < count; box += THREADS)
            if (parent[box] == box) f(key(box));
    }
};

// One block per image. Where more than `count` boxes were found, the `count` biggest clusters keep
// 1 + floor(n r) of their n boxes, r = (count - clusters) / (boxes - clusters), or 1 where there are
// more clusters; the first `count` of those stay. `keys`, `first`, `last` are (n, most) at least.
extern "C" __global__ void __launch_bounds__(THREADS, 1)  // two would spill
thin(CellBox* boxes, int* found, int* parent, Key* keys, int* first, int* last, int kinds, int most,
     int count) {
    SHARED(Key, room, CHUNK);
    SHARED(unsigned, totals, BINS);
    SHARED(int, warp_counts, WARPS);
    const long long start = static_cast<long long>(blockIdx.x) * most;
    boxes += start, parent += start, first += start, last += start;
    keys += start * kinds;
    const int all = found[blockIdx.x];
    if (all <= count) return;
    for (int box = threadIdx.x; box < all; box += THREADS)
        keys[box] = static_cast<Key>(root(parent, box)) << 32 | box;
    __syncthreads();
    sort(keys, all, room);
    int clusters = 0;
    for (int from = 0; from < all; from += THREADS) {
        const int i = from + threadIdx.x;
        const int cluster = i < all ? keys[i] >> 32 : 0;
        const bool begins = i < all && (!i || keys[i - 1] >> 32 != cluster);
        if (begins) first[cluster] = i;
        if (i < all && (i == all - 1 || keys[i + 1] >> 32 != cluster)) last[cluster] = i + 1;
        clusters += __syncthreads_count(begins);
    }
    const Clusters each = {parent, first, last, all};
    const Key floor = clusters > count ? largest(each, count, room, totals) : 0;
    for (int i = threadIdx.x; i < all; i += THREADS) {
        const int cluster = keys[i] >> 32;
        long long share = each.key(cluster) >= floor;
        if (clusters < count) share += each.size(cluster) * (count - clusters) / (all - clusters);
        parent[static_cast<unsigned>(keys[i])] = i - first[cluster] < share;
    }
    __syncthreads();
    int taken = 0;
    for (int from = 0; from < all && taken < count; from += THREADS) {
        const int i = from + threadIdx.x;
        const bool stays = i < all && parent[i];
        const CellBox box = boxes[min(i, all - 1)];
        int many;
        const int place = taken + place_of(stays, warp_counts, many);
        if (stays && place < count) boxes[place] = box;  // never behind what was read
        taken += many;
    }
    if (!threadIdx.x) found[blockIdx.x] = min(taken, count);
}
