// packed[row][filled] = x[row][channels] as bf16, zeros behind: rows as tensor cores read them,
// a chunk of 8 per thread. -D real: the element type of x.
#include "port.cuh"

constexpr int CHUNK = 8;

extern "C" __global__ void __launch_bounds__(THREADS)
pack(const real* x, long long rows, int channels, bf16* packed) {
    const int chunks = (channels + CHUNK - 1) / CHUNK;
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const long long row = i / chunks;
    if (row >= rows) return;
    const int first = static_cast<int>(i - row * chunks) * CHUNK;
    const real* const from = x + row * channels + first;
    Vector<bf16> values;
    if (channels % CHUNK == 0) {
        constexpr int size = Vector<real>::size;
#pragma unroll
        for (int j = 0; j < CHUNK; j += size) {
            const Vector<real> vector = load_vector(from + j);
#pragma unroll
            for (int k = 0; k < size; k++) values.value[j + k] = vector.value[k];
        }
    } else {
#pragma unroll
        for (int j = 0; j < CHUNK; j++)
            values.value[j] = first + j < channels ? load(from + j) : 0.f;
    }
    store_vector(packed + i * CHUNK, values);
}
