// The samples of each image: prior boxes, those found, random ones. One block per image.
// -D MOST_CHOSEN_FROM bounds the boxes that are found.
#include "cell_box.cuh"
#include "philox.cuh"

constexpr int DRAWN_BLOCKS = THREADS / 8;  // of Philox, 8 halves of words in each

// The words 4 i to 4 i + 3 of a sample's random stream behind the first `skipped`, as `random`
// makes numbers in [0, 1) of them.
struct Four {
    double value[4];
};

__device__ inline Four random(Key key, Key salt, long long skipped, int i) {
    const long long block = skipped / 4 + i;
    const Words a = philox(block + 1, key, salt), b = philox(block + 2, key, salt);
    Key word[8] = {a.word[0], a.word[1], a.word[2], a.word[3],
                   b.word[0], b.word[1], b.word[2], b.word[3]};
    for (int turn = 0; turn < skipped % 4; turn++)
#pragma unroll
        for (int at = 0; at < 7; at++) word[at] = word[at + 1];
    Four four;
    for (int at = 0; at < 4; at++) four.value[at] = (word[at] >> 11) * (1. / 9007199254740992.);
    return four;
}

// cut at the image, computed in double as the reference, never contracted
__device__ inline float2 jittered(float low, float high, double shift, double stretch) {
    const float side = __fsub_rn(high, low), centre = __fdiv_rn(__fadd_rn(low, high), 2.f);
    const double middle = __dadd_rn(centre, __dmul_rn(shift, side));
    const double half = __ddiv_rn(__dmul_rn(side, exp(stretch)), 2.);
    const double from = __dsub_rn(middle, half), to = __dadd_rn(middle, half);
    return make_float2(static_cast<float>(fmin(fmax(from, 0.), 1.)),
                       static_cast<float>(fmin(fmax(to, 0.), 1.)));
}

__device__ inline float4 jittered(const float4& box, const Four& drawn, double jitter) {
    const double range = __dsub_rn(jitter, -jitter);
    double by[4];
    for (int i = 0; i < 4; i++) by[i] = __dadd_rn(-jitter, __dmul_rn(range, drawn.value[i]));
    const float2 x = jittered(box.x, box.z, by[0], by[2]);
    const float2 y = jittered(box.y, box.w, by[1], by[3]);
    return make_float4(x.x, y.x, x.y, y.y);
}

__device__ inline double random_end(double low, double share) {
    return __dadd_rn(low, __dmul_rn(share, __dsub_rn(1., low)));
}

__device__ inline float4 random_box(const Four& drawn) {
    return make_float4(static_cast<float>(drawn.value[0]), static_cast<float>(drawn.value[1]),
                       static_cast<float>(random_end(drawn.value[0], drawn.value[2])),
                       static_cast<float>(random_end(drawn.value[1], drawn.value[3])));
}

__device__ inline bool is_set(const unsigned* bits, int i) { return bits[i / 32] >> i % 32 & 1; }

// Sets the bits of `kept` of `count` > kept boxes as Generator.choice(count, kept, replace=False)
// does: Floyd's algorithm, numbers by Lemire's. All threads draw, one chooses. Returns the words
// of the stream that were used behind the first `skipped`, a multiple of 4.
__device__ inline int choose(Key key, Key salt, long long skipped, int count, int kept,
                             unsigned* chosen, unsigned* halves, int* state) {
    int& next = state[0];  // the box that is to be chosen or to give its place
    int& used = state[1];  // halves
    for (int word = threadIdx.x; word * 32 < count; word += THREADS) chosen[word] = 0;
    if (!threadIdx.x) next = count - kept, used = 0;
    __syncthreads();
    for (long long block = skipped / 4 + 1; next < count; block += DRAWN_BLOCKS) {
        if (threadIdx.x < DRAWN_BLOCKS) {
            const Words words = philox(block + threadIdx.x, key, salt);
            for (int i = 0; i < 4; i++) {
                halves[8 * threadIdx.x + 2 * i] = static_cast<unsigned>(words.word[i]);
                halves[8 * threadIdx.x + 2 * i + 1] = static_cast<unsigned>(words.word[i] >> 32);
            }
        }
        __syncthreads();
        if (!threadIdx.x)
            for (int half = 0; half < 8 * DRAWN_BLOCKS && next < count; half++, used++) {
                const unsigned many = next + 1;
                const Key product = static_cast<Key>(halves[half]) * many;
                const unsigned rest = static_cast<unsigned>(product);
                if (rest < many && rest < (0u - many) % many) continue;
                const int drawn = product >> 32, taken = is_set(chosen, drawn) ? next : drawn;
                chosen[taken / 32] |= 1u << taken % 32;
                next++;
            }
        __syncthreads();
    }
    return (used + 1) / 2;
}

// samples (n, priors + places, 4). Without `keys`: prior boxes, those found, then 0. With them,
// one per image: prior boxes moved, `kept` of those found at most, random ones.
extern "C" __global__ void __launch_bounds__(THREADS)
fill(const float4* prior, const CellBox* boxes, const int* found, const Key* keys, Key salt,
     float4* sample, int* count, int priors, int places, int most, int kept, int height, int width,
     double jitter) {
    SHARED(unsigned, chosen, MOST_CHOSEN_FROM / 32 + 1);
    SHARED(unsigned, halves, 8 * DRAWN_BLOCKS);
    SHARED(int, warp_counts, WARPS);
    SHARED(int, state, 2);
    const int image = blockIdx.x, all = found[image];
    const Key key = keys ? keys[image] : 0;
    sample += static_cast<long long>(image) * (priors + places);
    boxes += static_cast<long long>(image) * most;
    for (int i = threadIdx.x; i < priors; i += THREADS)
        sample[i] = keys ? jittered(prior[i], random(key, salt, 0, i), jitter) : prior[i];
    long long skipped = 4ll * priors;
    const bool choice = keys && all > kept;
    if (choice) skipped += choose(key, salt, skipped, all, kept, chosen, halves, state);
    float4* const others = sample + priors;
    int taken = 0;
    for (int from = 0; from < all; from += THREADS) {
        const int i = from + threadIdx.x;
        const bool stays = i < all && (!choice || is_set(chosen, i));
        int many;
        const int place = taken + place_of(stays, warp_counts, many);
        if (stays) {
            const CellBox box = boxes[i];
            others[place] = make_float4(__fdiv_rn(box.x0, width), __fdiv_rn(box.y0, height),
                                        __fdiv_rn(box.x1 + 1, width), __fdiv_rn(box.y1 + 1, height));
        }
        taken += many;
    }
    for (int i = threadIdx.x; i < places - taken; i += THREADS)
        others[taken + i] = keys ? random_box(random(key, salt, skipped, i))
                                 : make_float4(0.f, 0.f, 0.f, 0.f);
    if (!threadIdx.x) count[image] = priors + (keys ? places : taken);
}
