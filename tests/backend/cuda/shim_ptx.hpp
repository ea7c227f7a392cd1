// The emulations of ptx.cuh: matrices of tensor cores and asynchronous copies to shared memory.
#pragma once

namespace shim {

inline const unsigned char* checked(
    const char* what, int line, const void* p, size_t bytes, bool in_shared) {
    const auto* begin = static_cast<const unsigned char*>(p);
    if (reinterpret_cast<unsigned long long>(p) % bytes)
        fail(line, "%s: the address is no multiple of %zu", what, bytes);
    for (int i = 0; in_shared && i <= zones_count; i++) {
        if (i == zones_count) fail(line, "%s: the address is not in shared memory", what);
        if (begin >= zones[i].begin && begin + bytes <= zones[i].begin + zones[i].bytes) break;
    }
    return begin;
}

// ---------------------------------------------------------------------------- tensor cores

inline void all_lanes(void** brought) {
    for (int lane = 0; lane < LANES; lane++)
        if (!brought[lane]) fail(warp().line, "%s: a lane has ended", warp().what);
}

struct Rows {  // of ldmatrix
    unsigned* registers;
    const unsigned char* row;  // of matrix lane / 8, row lane % 8
    int line;
};

template <int count, bool transposed>
inline void load_matrices(void** brought) {
    all_lanes(brought);
    for (int matrix = 0; matrix < count; matrix++) {
        unsigned short element[8][8];
        for (int row = 0; row < 8; row++) {
            const Rows& from = *static_cast<Rows*>(brought[8 * matrix + row]);
            __builtin_memcpy(
                element[row], checked("ldmatrix", from.line, from.row, 16, true), 16);
        }
        for (int lane = 0; lane < LANES; lane++) {
            const int i = lane / 4, j = lane % 4 * 2;
            const unsigned low = transposed ? element[j][i] : element[i][j];
            const unsigned high = transposed ? element[j + 1][i] : element[i][j + 1];
            static_cast<Rows*>(brought[lane])->registers[matrix] = high << 16 | low;
        }
    }
}

struct Product {  // of mma
    float* d;
    const unsigned* a;
    const unsigned* b;
};

using Row = float __attribute__((vector_size(32)));

inline float low(unsigned pair) { return __uint_as_float(pair << 16); }
inline float high(unsigned pair) { return __uint_as_float(pair & 0xFFFF0000u); }

// sums of products of 8 rows of A, here by columns, and 8 columns of B, here by rows
inline void multiply_rows(const float (*a)[16], const Row* b, Row* sum) {
    Row each[8] = {};
    for (int k = 0; k < 16; k++)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) each[i] += a[k][i] * b[k];
    __builtin_memcpy(sum, each, sizeof each);
}

// D (16, 8) += A (16, 16) B (16, 8) for every tile of 16 rows of A with every 8 columns of B
template <int rows, int columns>
inline void multiply(void** brought) {
    all_lanes(brought);
    float a[rows][16][16];
    Row b[columns][16];
    for (int lane = 0; lane < LANES; lane++) {
        const Product& mine = *static_cast<Product*>(brought[lane]);
        const int group = lane / 4, pair = lane % 4 * 2;
        for (int m = 0; m < rows; m++)
            for (int r = 0; r < 4; r++) {
                const int row = group + r % 2 * 8, k = pair + r / 2 * 8;
                a[m][k][row] = low(mine.a[4 * m + r]);
                a[m][k + 1][row] = high(mine.a[4 * m + r]);
            }
        for (int n = 0; n < columns; n++)
            for (int r = 0; r < 2; r++) {
                b[n][pair + 8 * r][group] = low(mine.b[2 * n + r]);
                b[n][pair + 8 * r + 1][group] = high(mine.b[2 * n + r]);
            }
    }
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < columns; n++) {
            Row sum[16];
            for (int half = 0; half < 16; half += 8)
                multiply_rows(
                    reinterpret_cast<const float(*)[16]>(&a[m][0][half]), b[n], sum + half);
            for (int lane = 0; lane < LANES; lane++) {
                float* const d = static_cast<Product*>(brought[lane])->d + (m * columns + n) * 4;
                for (int i = 0; i < 4; i++) d[i] += sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
            }
        }
}

// -------------------------------------------------------------------- asynchronous copies

// A copy may land at any moment until it is waited for: its place holds NaN from the start, and
// the bytes come at the wait, so that whoever reads too early or writes too early shows.
constexpr int MOST_COPIES = 256;

struct Copy {
    unsigned char* to;
    const unsigned char* from;
    int size, bytes;
    unsigned batch;
};

struct Copies {  // that a thread has begun
    unsigned long long block;
    unsigned batch;  // the one that is open
    int begun, ended, fenced;
    Copy ring[MOST_COPIES];
};

inline Copies copies[MOST_THREADS];

inline Copies& my_copies() {
    Copies& mine = copies[self->number];
    if (mine.block != blocks_begun) {
        mine.block = blocks_begun;
        mine.batch = mine.begun = mine.ended = mine.fenced = 0;
    }
    return mine;
}

// the threads (from 1) whose copies lie in 16 bytes of dynamic shared memory without a fence behind
inline unsigned short unfenced[sizeof dynamic_memory / 16];

inline unsigned short* fence_of(const unsigned char* p) {
    const long long byte = p - dynamic_memory;
    return byte >= 0 && byte < (long long)sizeof dynamic_memory ? unfenced + byte / 16 : nullptr;
}

inline void end_copies(unsigned pending) {  // all but the last `pending` batches
    Copies& mine = my_copies();
    for (; mine.ended < mine.begun; mine.ended++) {
        const Copy& copy = mine.ring[mine.ended % MOST_COPIES];
        if (copy.batch + pending >= mine.batch) return;
        __builtin_memcpy(copy.to, copy.from, copy.bytes);
        __builtin_memset(copy.to + copy.bytes, 0, copy.size - copy.bytes);
        if (auto* fence = fence_of(copy.to)) *fence = self->number + 1;
    }
}

}  // namespace shim

template <int count>
inline void ldmatrix(unsigned* registers, const void* row, int line = __builtin_LINE()) {
    shim::Rows mine = {registers, static_cast<const unsigned char*>(row), line};
    shim::meet_warp("ldmatrix", line, &mine, shim::load_matrices<count, false>);
}
template <int count>
inline void ldmatrix_trans(unsigned* registers, const void* row, int line = __builtin_LINE()) {
    shim::Rows mine = {registers, static_cast<const unsigned char*>(row), line};
    shim::meet_warp("ldmatrix_trans", line, &mine, shim::load_matrices<count, true>);
}
template <int rows, int columns>
inline void mma_bf16(
    float* d, const unsigned* a, const unsigned* b, int line = __builtin_LINE()) {
    shim::Product mine = {d, a, b};
    shim::meet_warp("mma_bf16", line, &mine, shim::multiply<rows, columns>);
}
template <int size>
inline void cp_async(void* to, const void* from, int bytes, int line = __builtin_LINE()) {
    static_assert(size == 4 || size == 8 || size == 16, "cp.async copies 4, 8 or 16 bytes");
    shim::Copies& mine = shim::my_copies();
    if (mine.begun - mine.ended == shim::MOST_COPIES) shim::fail(line, "cp_async: none is waited for");
    if (bytes < 0 || bytes > size) shim::fail(line, "cp_async: %d bytes of %d", bytes, size);
    shim::checked("cp_async", line, to, size, true);
    const auto* source = shim::checked("cp_async", line, from, size, false);
    auto* target = static_cast<unsigned char*>(to);
    __builtin_memset(target, shim::UNWRITTEN, size);
    if (mine.begun - mine.fenced == shim::MOST_COPIES) mine.fenced++;
    mine.ring[mine.begun++ % shim::MOST_COPIES] = {target, source, size, bytes, mine.batch};
}
inline void cp_async_commit() { shim::my_copies().batch++; }
template <int pending>
inline void cp_async_wait() {
    shim::end_copies(pending);
}
inline void fence_proxy_async() {
    shim::Copies& mine = shim::my_copies();
    for (; mine.fenced < mine.ended; mine.fenced++) {
        auto* fence = shim::fence_of(mine.ring[mine.fenced % shim::MOST_COPIES].to);
        if (fence && *fence == shim::self->number + 1) *fence = 0;
    }
}
