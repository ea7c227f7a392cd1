// y = a + b, max(a + b, 0) where RELU is 1; its gradient. One vector per thread.
#include "port.cuh"

__device__ inline float sum(float a, float b) { return RELU ? relu(a + b) : a + b; }
__device__ inline float passed(float g, float y) { return y > 0.f ? g : 0.f; }

template <class Function>
__device__ inline void by_element(
    const real* a, const real* b, real* y, long long count, Function function) {
    constexpr int size = Vector<real>::size;
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * size;
    if (first + size <= count) {
        Vector<real> left = load_vector(a + first);
        const Vector<real> right = load_vector(b + first);
        for (int i = 0; i < size; i++) left.value[i] = function(left.value[i], right.value[i]);
        store_vector(y + first, left);
        return;
    }
    for (long long i = first; i < count; i++) store(y + i, function(load(a + i), load(b + i)));
}

extern "C" __global__ void __launch_bounds__(THREADS)
add(const real* a, const real* b, real* y, long long count) {
    by_element(a, b, y, count, sum);
}

extern "C" __global__ void __launch_bounds__(THREADS)
relu_backward(const real* g, const real* y, real* gx, long long count) {
    by_element(g, y, gx, count, passed);
}
