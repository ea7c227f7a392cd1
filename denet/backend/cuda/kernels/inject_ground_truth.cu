// Samples, the last places of each image taken by its true boxes in their order. A block per image.
#include "port.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
inject(const float4* sample, const float4* box, const int* box_class, float4* y, int samples,
       int capacity) {
    const long long first = static_cast<long long>(blockIdx.x) * samples;
    box += static_cast<long long>(blockIdx.x) * capacity;
    box_class += static_cast<long long>(blockIdx.x) * capacity;
    int known = 0;
    for (int start = 0; start < capacity; start += THREADS) {
        const int index = start + threadIdx.x;
        known += __syncthreads_count(index < capacity && box_class[index] >= 0);
    }
    const int taken = min(known, samples);
    for (int index = threadIdx.x; index < samples - taken; index += THREADS)
        y[first + index] = sample[first + index];
    for (int index = threadIdx.x; index < capacity; index += THREADS) {
        if (box_class[index] < 0) continue;
        int before = 0;  // of 128 boxes at most
        for (int other = 0; other < index; other++) before += box_class[other] >= 0;
        if (before < taken) y[first + samples - taken + before] = box[index];
    }
}
