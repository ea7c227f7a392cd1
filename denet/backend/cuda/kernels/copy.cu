// A copy, one vector per thread.
#include "port.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
copy(const real* x, real* y, long long count) {
    constexpr int size = Vector<real>::size;
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * size;
    if (first + size <= count) {
        *reinterpret_cast<uint4*>(y + first) = *reinterpret_cast<const uint4*>(x + first);
        return;
    }
    for (long long i = first; i < count; i++) y[i] = x[i];
}
