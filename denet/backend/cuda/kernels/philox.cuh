// NumPy's Generator(Philox(key=[key, salt])), number by number: Philox4x64-10 of Salmon et al.,
// "Parallel Random Numbers: As Easy as 1, 2, 3", 2011.
#include "port.cuh"

struct Words {
    unsigned long long word[4];
};

// The block of 4 words number `counter`; NumPy's first is number 1.
__device__ inline Words philox(unsigned long long counter, unsigned long long key,
                               unsigned long long salt) {
    unsigned long long a = counter, b = 0, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {
        const unsigned long long high_a = __umul64hi(0xD2E7470EE14C6C93ull, a);
        const unsigned long long high_c = __umul64hi(0xCA5A826395121157ull, c);
        const unsigned long long low_a = 0xD2E7470EE14C6C93ull * a;
        a = high_c ^ b ^ key;
        b = 0xCA5A826395121157ull * c;
        c = high_a ^ d ^ salt;
        d = low_a;
        key += 0x9E3779B97F4A7C15ull;
        salt += 0xBB67AE8584CAA73Bull;
    }
    return {{a, b, c, d}};
}

// `random` in float32 of 32 bits
__device__ inline float uniform(unsigned bits) { return (bits >> 8) * (1.f / 16777216.f); }

// Draws one number after another. Halves of words are used by `integers` alone, low half first.
class Generator {
    unsigned long long key, salt, counter = 0;
    Words ahead;
    int left = 0;  // words ahead
    unsigned half;
    bool has_half = false;

    __device__ unsigned next_half() {
        if (has_half) {
            has_half = false;
            return half;
        }
        const unsigned long long word = next();
        half = static_cast<unsigned>(word >> 32);
        has_half = true;
        return static_cast<unsigned>(word);
    }

public:
    __device__ Generator(unsigned long long key, unsigned long long salt) : key(key), salt(salt) {}

    __device__ unsigned long long next() {
        if (!left) {
            ahead = philox(++counter, key, salt);
            left = 4;
        }
        const unsigned long long word = ahead.word[0];
        for (int i = 0; i < 3; i++) ahead.word[i] = ahead.word[i + 1];
        left--;
        return word;
    }

    // `integers(last, endpoint=True)` for last < 2^32 - 1: Lemire, "Fast Random Integer
    // Generation in an Interval", 2019
    __device__ unsigned integers(unsigned last) {
        if (!last) return 0;
        const unsigned many = last + 1, refused = (0xFFFFFFFFu - last) % many;
        unsigned long long product;
        do product = static_cast<unsigned long long>(next_half()) * many;
        while (static_cast<unsigned>(product) < refused);
        return static_cast<unsigned>(product >> 32);
    }

    // `random() < p`, where `limit` is p 2^53, rounded up
    __device__ bool below(unsigned long long limit) { return next() >> 11 < limit; }
};
