// What the threads of one block do together with flags and with keys of 64 bits: places in order,
// sorting, and where the largest begin. Arrays may lie in global memory.
#include "port.cuh"

using Key = unsigned long long;
constexpr int WARPS = THREADS / 32;
constexpr int CHUNK = 4096;             // keys that are sorted in shared memory
constexpr int BINS = 256, COPIES = 32;  // of a histogram: one copy per lane, in a bank of its own
static_assert(BINS * COPIES * sizeof(unsigned) <= CHUNK * sizeof(Key), "one room serves both");

// Bits that order as floats do, 0 and -0 alike; NaN has no place.
__device__ inline unsigned ordered(float value) {
    const unsigned bits = __float_as_uint(value + 0.f);
    return bits ^ (bits >> 31 ? 0xFFFFFFFFu : 0x80000000u);
}

// How many threads before this one have the flag; `total` is how many in all.
__device__ inline int place_of(bool flag, int* warp_counts, int& total) {
    const unsigned votes = __ballot_sync(~0u, flag);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    __syncthreads();  // the last counts were read
    if (!lane) warp_counts[warp] = __popc(votes);
    __syncthreads();
    int before = __popc(votes & ((1u << lane) - 1));
    total = 0;
    for (int other = 0; other < WARPS; other++) {
        if (other < warp) before += warp_counts[other];
        total += warp_counts[other];
    }
    return before;
}

// In groups of `size` keys, a power of 2, each of the first half meets its mirror image in the
// second half, or the one as far into it as itself; the smaller goes first. What is missing behind
// the last key counts as larger than all.
__device__ inline void meet(Key* keys, int count, int size, bool mirrored) {
    const int half = size / 2, pairs = (count + size - 1) / size * half;
    for (int pair = threadIdx.x; pair < pairs; pair += THREADS) {
        const int low = 2 * (pair & -half) + (pair & (half - 1));
        const int high = mirrored ? low ^ (size - 1) : low + half;
        if (high >= count) continue;
        const Key first = keys[low], second = keys[high];
        if (second < first) keys[low] = second, keys[high] = first;
    }
    __syncthreads();
}

// Sorts upwards (Batcher's bitonic network); `room` holds CHUNK keys in shared memory.
__device__ inline void sort(Key* keys, int count, Key* room) {
    for (int size = CHUNK; size / 2 < count || size == CHUNK; size *= 2) {
        if (size > CHUNK) {
            meet(keys, count, size, true);
            for (int part = size / 2; part > CHUNK; part /= 2) meet(keys, count, part, false);
        }
        for (int start = 0; start < count; start += CHUNK) {
            const int many = min(CHUNK, count - start);
            for (int i = threadIdx.x; i < many; i += THREADS) room[i] = keys[start + i];
            __syncthreads();
            if (size == CHUNK)
                for (int small = 2; small / 2 < many; small *= 2) {
                    meet(room, many, small, true);
                    for (int part = small / 2; part > 1; part /= 2) meet(room, many, part, false);
                }
            else
                for (int part = CHUNK; part > 1; part /= 2) meet(room, many, part, false);
            for (int i = threadIdx.x; i < many; i += THREADS) keys[start + i] = room[i];
            __syncthreads();
        }
    }
}

// Returns where the `count` largest keys begin: so many are not below it, or all, where there are
// fewer. `items.each(f)` calls f(key) for this thread's share of keys, all different; they are
// computed anew for each digit of the radix search. `room` as above, `totals` has BINS places.
template <class Items>
__device__ inline Key largest(const Items& items, unsigned count, Key* room, unsigned* totals) {
    unsigned* const histogram = reinterpret_cast<unsigned*>(room);
    const int lane = threadIdx.x % 32;
    Key floor = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (int i = threadIdx.x; i < BINS * COPIES; i += THREADS) histogram[i] = 0;
        __syncthreads();
        const Key above = shift < 56 ? floor >> (shift + 8) : 0;
        items.each([&](Key key) {
            const bool same = shift == 56 || key >> (shift + 8) == above;
            if (same) atomicAdd(histogram + (key >> shift & 255) * COPIES + lane, 1u);
        });
        __syncthreads();
        for (int bin = threadIdx.x / 32; bin < BINS; bin += WARPS) {
            unsigned sum = histogram[bin * COPIES + lane];
            for (int far = 16; far; far /= 2) sum += __shfl_xor_sync(~0u, sum, far);
            if (!lane) totals[bin] = sum;
        }
        __syncthreads();
        int bin = BINS - 1;
        for (; bin > 0 && totals[bin] < count; bin--) count -= totals[bin];
        floor |= static_cast<Key>(bin) << shift;
        if (totals[bin] <= count) break;
    }
    return floor;
}
