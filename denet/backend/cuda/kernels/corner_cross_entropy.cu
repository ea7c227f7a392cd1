// The cost of a map of corners: logits h and targets t, `count` numbers for each sample, which
// blockIdx.y counts. P = sigmoid(-2h); -log P = softplus(2h), -log(1 - P) = softplus(-2h).
// A thread has 8 numbers, as many as one block of Philox decides to drop or keep.
#include "cost.cuh"
#include "philox.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
cost(const float* logits, const float* target, float* gradient, float* parts,
     const unsigned long long* keys, unsigned long long salt, int count, float dropout,
     float scale) {
    SHARED(float, sums, WARPS);
    const int part = blockIdx.x * THREADS + threadIdx.x, first = 8 * part;
    const long long sample = static_cast<long long>(blockIdx.y) * count;
    unsigned kept = 0xFF;
    if (dropout > 0.f && first < count) {
        const Words drawn = philox(part + 1, keys[blockIdx.y], salt);
        for (int i = 0; i < 8; i++) {
            const unsigned bits = static_cast<unsigned>(drawn.word[i / 2] >> 32 * (i % 2));
            if (uniform(bits) < dropout) kept ^= 1u << i;
        }
    }
    float total = 0.f;
    for (int i = 0; i < 8 && first + i < count; i++) {
        const long long at = sample + first + i;
        const float h = logits[at], t = target[at], weight = kept >> i & 1 ? scale : 0.f;
        const float small = expf(-fabsf(2.f * h)), rest = log1pf(small);
        const float unlikely = small / (1.f + small), likely = 1.f / (1.f + small);
        const float with = fmaxf(2.f * h, 0.f) + rest, without = fmaxf(-2.f * h, 0.f) + rest;
        total += weight * (t * with + (1.f - t) * without);
        // 2 (t - P) = 2 t (1 - P) - 2 (1 - t) P, where nothing is lost as P comes near t
        const float absent = h < 0.f ? unlikely : likely, present = h < 0.f ? likely : unlikely;
        gradient[at] = 2.f * weight * (t * absent - (1.f - t) * present);
    }
    write_part(total, sums, parts);
}
