// Where each sample is cut, and whether it is mirrored and flipped: (n, 4). A thread has a sample.
#include "philox.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
crop_choice(const unsigned long long* keys, unsigned long long salt, int* choices, int n,
            int spare_height, int spare_width, unsigned long long mirror_limit,
            unsigned long long flip_limit) {
    const int sample = blockIdx.x * THREADS + threadIdx.x;
    if (sample >= n) return;
    Generator generator(keys[sample], salt);
    choices += 4 * sample;
    choices[0] = generator.integers(spare_height);
    choices[1] = generator.integers(spare_width);
    choices[2] = generator.below(mirror_limit);
    choices[3] = generator.below(flip_limit);
}
