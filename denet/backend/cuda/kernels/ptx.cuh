// What CUDA C does not say, in words that the processor knows too: when the tests run a kernel
// there, tests/backend/cuda/shim*.hpp stand in for what lies between #ifdef and #endif.
//
// SHARED(type, name, count)       an array of a block in shared memory, on 16 bytes
// DYNAMIC_SHARED(name)            unsigned char name[]: what the launch asked for, on 1024 bytes
// ldmatrix<count>(r, row)         1, 2 or 4 matrices of 8 x 8 elements of 16 bits from shared
//                                 memory: lane i gives the address of row i % 8 of matrix i / 8,
//                                 and gets in r[m] the elements 2 (i % 4) and one on of row i / 4
// ldmatrix_trans<count>(r, row)   the same of the transposed matrices
// mma_bf16<rows, columns>(d, a, b)  D += A B for rows tiles of A, m16 k16, and columns tiles of B,
//                                 k16 n8: d[4 * rows * columns], a[4 * rows], b[2 * columns] in the
//                                 layout of mma.m16n8k16; d's tile is row * columns + column
// cp_async<size>(to, from, bytes) begins a copy of 4, 8 or 16 bytes to shared memory: `bytes` of
//                                 them are read, the rest is zeros; both on a multiple of size
// cp_async_commit()               closes the batch of the copies begun since the last one
// cp_async_wait<n>()              waits for all batches of this thread but the last n
//
// mma_bf16 traps below sm_80; there copies happen at once.

#ifdef __CUDACC_RTC__

#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

__device__ inline unsigned shared_address(const void* p) {
    return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

#define LDMATRIX(name, trans)                                                                \
    template <int count>                                                                     \
    __device__ inline void name(unsigned* r, const void* row) {                              \
        static_assert(count == 1 || count == 2 || count == 4, "1, 2 or 4 matrices");         \
        const unsigned p = shared_address(row);                                              \
        if constexpr (count == 1)                                                            \
            asm volatile("ldmatrix.sync.aligned.m8n8.x1" trans ".shared.b16 {%0}, [%1];"     \
                         : "=r"(r[0]) : "r"(p) : "memory");                                  \
        else if constexpr (count == 2)                                                       \
            asm volatile("ldmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 {%0, %1}, [%2];" \
                         : "=r"(r[0]), "=r"(r[1]) : "r"(p) : "memory");                      \
        else                                                                                 \
            asm volatile("ldmatrix.sync.aligned.m8n8.x4" trans                               \
                         ".shared.b16 {%0, %1, %2, %3}, [%4];"                               \
                         : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                    \
                         : "r"(p) : "memory");                                               \
    }
LDMATRIX(ldmatrix, "")
LDMATRIX(ldmatrix_trans, ".trans")
#undef LDMATRIX

template <int rows, int columns>
__device__ inline void mma_bf16(float* d, const unsigned* a, const unsigned* b) {
#if __CUDA_ARCH__ >= 800
#pragma unroll
    for (int m = 0; m < rows; m++)
#pragma unroll
        for (int n = 0; n < columns; n++) {
            float* const c = d + (m * columns + n) * 4;
            const unsigned* const left = a + 4 * m;
            const unsigned* const right = b + 2 * n;
            asm volatile(
                "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]),
                  "r"(right[1]));
        }
#else
    __trap();
#endif
}

template <int size>
__device__ inline void cp_async(void* to, const void* from, int bytes) {
    static_assert(size == 4 || size == 8 || size == 16, "cp.async copies 4, 8 or 16 bytes");
#if __CUDA_ARCH__ >= 800
    if constexpr (size == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :: "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "n"(size),
                        "r"(bytes)
                     : "memory");
#else
    auto* const target = static_cast<unsigned char*>(to);
    const auto* const source = static_cast<const unsigned char*>(from);
    for (int i = 0; i < size; i++) target[i] = i < bytes ? source[i] : 0;
#endif
}

__device__ inline void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int pending>
__device__ inline void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

#endif
