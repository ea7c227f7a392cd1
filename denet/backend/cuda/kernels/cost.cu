// What all costs have in common: the sum of the parts, and the gradient times that of the cost.
#include "cost.cuh"

// total = scale * the sum of the parts; one block
extern "C" __global__ void __launch_bounds__(THREADS)
add_parts(const float* parts, int count, float scale, float* total) {
    SHARED(float, sums, WARPS);
    SHARED(float, sum, 1);
    float part = 0.f;
    for (int i = threadIdx.x; i < count; i += THREADS) part += parts[i];
    write_part(part, sums, sum);
    if (!threadIdx.x) *total = scale * *sum;
}

// y = x * factor[0], a vector per thread
extern "C" __global__ void __launch_bounds__(THREADS)
scale(const float* x, float* y, const float* factor, long long count) {
    constexpr int size = Vector<float>::size;
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * size;
    if (first + size <= count) {
        Vector<float> values = load_vector(x + first);
        for (int i = 0; i < size; i++) values.value[i] *= *factor;
        store_vector(y + first, values);
        return;
    }
    for (long long i = first; i < count; i++) y[i] = x[i] * *factor;
}
