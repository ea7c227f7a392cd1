// The emulation of wgmma.cuh. A product is computed when it is waited for, by each warp its 16 rows:
// who reads the sums or overwrites the operands too early shows. A missing wgmma_fence does not, a
// missing fence_proxy_async only behind copies by cp_async.
#pragma once

namespace shim {

constexpr int WARPGROUP = 128, MOST_PRODUCTS = 64;

struct Pending {  // a product that has begun
    float* d;
    unsigned long long a, b;
    int columns;
    bool transposed_a, transposed_b;
    unsigned batch;
    int line;
};

struct Products {  // that a thread has begun
    unsigned long long block;
    unsigned batch;  // the one that is open
    int begun, ended;
    Pending ring[MOST_PRODUCTS];
};

inline Products products[MOST_THREADS];

inline Products& my_products() {
    Products& mine = products[self->number];
    if (mine.block != blocks_begun) {
        mine.block = blocks_begun;
        mine.batch = mine.begun = mine.ended = 0;
    }
    return mine;
}

// element `row` of m or n, k of a matrix in dynamic shared memory, as its descriptor says
inline float element(unsigned long long descriptor, bool transposed, int row, int k, int line) {
    const int start = (descriptor & 0x3FFF) << 4, leading = (descriptor >> 16 & 0x3FFF) << 4;
    const int stride = (descriptor >> 32 & 0x3FFF) << 4;
    int byte = transposed ? start + row / 64 * leading + k / 8 * stride + k % 8 * 128 + row % 64 * 2
                          : start + row / 8 * stride + row % 8 * 128 + k * 2;
    byte ^= (byte >> 7 & 7) << 4;
    unsigned short bits;
    const auto* p = dynamic_memory + byte;
    __builtin_memcpy(&bits, checked("wgmma_bf16", line, p, 2, true), 2);
    if (const int thread = *fence_of(p))
        fail(line, "wgmma_bf16: thread %d copied an operand, and no fence followed", thread - 1);
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

inline void multiply_pending(const Pending& first, int index, void** brought) {
    const int top = self->number % WARPGROUP / LANES * 16;
    float a[16][16];
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            a[k][i] = element(first.a, first.transposed_a, top + i, k, first.line);
    for (int column = 0; column < first.columns; column += 8) {
        Row b[16], sum[16];
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 16; k++)
                b[k][j] = element(first.b, first.transposed_b, column + j, k, first.line);
        multiply_rows(a, b, sum);
        multiply_rows(reinterpret_cast<const float(*)[16]>(&a[0][8]), b, sum + 8);
        for (int lane = 0; lane < LANES; lane++) {
            const Pending& its = static_cast<Products*>(brought[lane])->ring[index];
            for (int i = 0; i < 4; i++)
                its.d[column / 2 + i] += sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
        }
    }
}

template <unsigned pending>
inline void end_products(void** brought) {
    all_lanes(brought);
    const Products& first = *static_cast<Products*>(brought[0]);
    for (int at = first.ended; at < first.begun; at++) {
        const int index = at % MOST_PRODUCTS;
        const Pending& product = first.ring[index];
        if (product.batch + pending >= first.batch) break;
        for (int lane = 0; lane < LANES; lane++) {
            Products& its = *static_cast<Products*>(brought[lane]);
            const Pending& other = its.ring[index];
            if (its.ended++ >= its.begun || other.a != product.a || other.b != product.b)
                fail(product.line, "wgmma_bf16: lanes 0 and %d give different operands", lane);
        }
        multiply_pending(product, index, brought);
    }
}

}  // namespace shim

inline unsigned long long matrix_descriptor(
    const void* p, int leading, int stride, int line = __builtin_LINE()) {
    const auto* begin = shim::checked("matrix_descriptor", line, p, 16, true);
    const long long address = begin - shim::dynamic_memory;
    if (address < 0 || address > static_cast<long long>(sizeof shim::dynamic_memory))
        shim::fail(line, "matrix_descriptor: the address is not in dynamic shared memory");
    if ((address >> 7) % 8) shim::fail(line, "matrix_descriptor: it begins in a row of its 8 rows");
    if ((leading | stride) % 16) shim::fail(line, "matrix_descriptor: a distance is no multiple of 16");
    return static_cast<unsigned long long>(address) >> 4
        | static_cast<unsigned long long>(leading >> 4 & 0x3FFF) << 16
        | static_cast<unsigned long long>(stride >> 4 & 0x3FFF) << 32 | 1ull << 62;
}
template <int columns, bool transposed_a, bool transposed_b>
inline void wgmma_bf16(
    float* d, unsigned long long a, unsigned long long b, int line = __builtin_LINE()) {
    static_assert(columns == 64 || columns == 128, "products have 64 or 128 columns");
    if (shim::current->threads % shim::WARPGROUP)
        shim::fail(line, "wgmma_bf16: the threads of a block make no whole number of warpgroups");
    shim::Products& mine = shim::my_products();
    if (mine.begun - mine.ended == shim::MOST_PRODUCTS)
        shim::fail(line, "wgmma_bf16: none is waited for");
    mine.ring[mine.begun++ % shim::MOST_PRODUCTS] = {
        d, a, b, columns, transposed_a, transposed_b, mine.batch, line};
}
template <int columns>
inline void wgmma_fence(float*) {}
inline void wgmma_commit() { shim::my_products().batch++; }
template <int pending, int columns>
inline void wgmma_wait(float*, int line = __builtin_LINE()) {
    shim::meet_warp("wgmma_wait", line, &shim::my_products(), shim::end_products<pending>);
}
