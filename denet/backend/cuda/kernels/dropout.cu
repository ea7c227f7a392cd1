// Dropout: what is kept grows by `scale`. A thread has 8 numbers of a sample, as many as one block
// of Philox decides on, and keeps the decisions in a byte. blockIdx.y counts samples, which have
// `count` numbers each.
#include "philox.cuh"

__device__ inline void mask(
    const real* x, real* y, unsigned bits, int count, int first, float scale) {
    constexpr int size = Vector<real>::size;
    const long long at = static_cast<long long>(blockIdx.y) * count + first;
    x += at;
    y += at;
    if (count % 8 == 0) {
        for (int i = 0; i < 8; i += size) {
            Vector<real> values = load_vector(x + i);
            for (int k = 0; k < size; k++) values.value[k] *= (bits >> (i + k) & 1) * scale;
            store_vector(y + i, values);
        }
        return;
    }
    for (int i = 0; i < min(8, count - first); i++) {
        store(y + i, load(x + i) * ((bits >> i & 1) * scale));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
dropout(const real* x, real* y, unsigned char* kept, const unsigned long long* keys,
        unsigned long long salt, int count, float rate, float scale) {
    const int part = blockIdx.x * THREADS + threadIdx.x, parts = (count + 7) / 8;
    if (part >= parts) return;
    const Words drawn = philox(part + 1, keys[blockIdx.y], salt);
    unsigned bits = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned low = static_cast<unsigned>(drawn.word[i]);
        const unsigned high = static_cast<unsigned>(drawn.word[i] >> 32);
        bits |= (uniform(low) >= rate) << 2 * i | (uniform(high) >= rate) << (2 * i + 1);
    }
    if (kept) kept[static_cast<long long>(blockIdx.y) * parts + part] = bits;
    mask(x, y, bits, count, 8 * part, scale);
}

extern "C" __global__ void __launch_bounds__(THREADS)
dropout_backward(const real* g, real* gx, const unsigned char* kept, int count, float scale) {
    const int part = blockIdx.x * THREADS + threadIdx.x, parts = (count + 7) / 8;
    if (part >= parts) return;
    mask(g, gx, kept[static_cast<long long>(blockIdx.y) * parts + part], count, 8 * part, scale);
}
