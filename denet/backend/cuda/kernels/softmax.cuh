// Softmax of a row of numbers by a warp, whose lanes take every 32nd number.
#include "port.cuh"

#define LOWEST __uint_as_float(0xFF800000u)  // -infinity

__device__ inline float warp_sum(float value) {
    for (int distance = 16; distance; distance /= 2) {
        value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
    }
    return value;
}

// drops NaN, which comes back with the exponentials
__device__ inline float warp_max(float value) {
    for (int distance = 16; distance; distance /= 2) {
        value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    }
    return value;
}

// the largest logit, against overflow, and the sum of e^(x - largest)
struct Extent {
    float largest, sum;
};

template <class T>
__device__ inline Extent extent_of(const T* x, int channels) {
    float largest = LOWEST, sum = 0.f;
    for (int c = threadIdx.x % 32; c < channels; c += 32) largest = fmaxf(largest, load(x + c));
    largest = warp_max(largest);
    for (int c = threadIdx.x % 32; c < channels; c += 32) sum += expf(load(x + c) - largest);
    return {largest, warp_sum(sum)};
}
