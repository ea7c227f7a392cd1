// Local response normalisation: y = x / d^beta, d = kappa + alpha * the sum of x^2 of the channel
// and its neighbours up to `reach` away in the same group. A thread has one number; `segment` is
// how many channels a group has: groups lie behind one another whatever their cell.
#include "cells.cuh"

// the neighbours of a number, relative to it: both ends belong to them
struct Neighbours {
    int first, last;
};

__device__ inline Neighbours neighbours(int index, int segment, int reach) {
    const int channel = index % segment;
    return {-min(reach, channel), min(reach, segment - 1 - channel)};
}

__device__ inline float divisor(const real* x, const Neighbours& near, float kappa, float alpha) {
    float sum = 0.f;
    for (int k = near.first; k <= near.last; k++) {
        const float value = load(x + k);
        sum += value * value;
    }
    return kappa + alpha * sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
local_response(const real* x, real* y, int count, int segment, int reach, float kappa,
               float alpha, float beta) {
    const int index = thread_of_sample();
    if (index >= count) return;
    const long long at = static_cast<long long>(blockIdx.y) * count + index;
    const float d = divisor(x + at, neighbours(index, segment, reach), kappa, alpha);
    store(y + at, load(x + at) * powf(d, -beta));
}

// what a number gives to the gradients around it: g x / d^(beta + 1)
extern "C" __global__ void __launch_bounds__(THREADS)
local_response_shares(const real* x, const real* g, float* share, int count, int segment,
                      int reach, float kappa, float alpha, float beta) {
    const int index = thread_of_sample();
    if (index >= count) return;
    const long long at = static_cast<long long>(blockIdx.y) * count + index;
    const float d = divisor(x + at, neighbours(index, segment, reach), kappa, alpha);
    share[at] = load(g + at) * load(x + at) * powf(d, -beta) / d;
}

// gx = g / d^beta - 2 alpha beta x * the sum of the shares around it
extern "C" __global__ void __launch_bounds__(THREADS)
local_response_backward(const real* x, const real* g, const float* share, real* gx, int count,
                        int segment, int reach, float kappa, float alpha, float beta) {
    const int index = thread_of_sample();
    if (index >= count) return;
    const long long at = static_cast<long long>(blockIdx.y) * count + index;
    const Neighbours near = neighbours(index, segment, reach);
    const float d = divisor(x + at, near, kappa, alpha);
    float sum = 0.f;
    for (int k = near.first; k <= near.last; k++) sum += share[at + k];
    store(gx + at, load(g + at) * powf(d, -beta) - 2.f * alpha * beta * load(x + at) * sum);
}
