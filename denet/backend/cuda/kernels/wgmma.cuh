// Products of a warpgroup (128 threads, the first a multiple of 128) from shared memory: sm_90a.
// In the tests shim_wgmma.hpp stands in for what lies between #ifdef and #endif.
//
// matrix_descriptor(p, leading, stride)  a bf16 matrix in shared memory, swizzled by 128 bytes:
//     whatever lies at byte x, seen from a boundary of 1024, lies at x ^ (x >> 7 & 7) << 4. Rows of
//     k (not transposed): row i begins at p + i / 8 * stride + i % 8 * 128, 64 elements of k in it;
//     the next 16 of k: p + 32 bytes. Rows of m or n (transposed): row k begins at p + k / 8 * stride
//     + k % 8 * 128 and holds 64 elements, the next 64 lie `leading` bytes on.
// wgmma_bf16<columns, transposed_a, transposed_b>(d, a, b)  begins D += A B: A m64 k16, B k16 n64 or
//     n128. Thread t holds D's row t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8 and column i / 4 * 8 +
//     t % 4 * 2 + i % 2 in d[i], i < columns / 2
// wgmma_fence<columns>(d)    stands before the first product, and wherever d was touched between two
// wgmma_commit()             closes the batch of the products begun since the last one
// wgmma_wait<n, columns>(d)  waits for all batches but the last n: until then d is nobody's, and what
//                            the products read may not change
// fence_proxy_async()  lets products see what this thread wrote to shared memory, by cp_async too;
//                      a barrier follows
#include "ptx.cuh"

#ifdef __CUDACC_RTC__

__device__ inline unsigned long long matrix_descriptor(const void* p, int leading, int stride) {
    return static_cast<unsigned long long>((shared_address(p) & 0x3FFFFu) >> 4)
        | static_cast<unsigned long long>(leading >> 4) << 16
        | static_cast<unsigned long long>(stride >> 4) << 32 | 1ull << 62;
}

#define D8(i)                                                                        \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]),      \
        "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define D32(i) D8(i), D8(i + 8), D8(i + 16), D8(i + 24)

template <bool transposed_a, bool transposed_b>
__device__ inline void wgmma_64(float* d, unsigned long long a, unsigned long long b) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, 1, 0; "
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
        "}, %32, %33, p, 1, 1, %34, %35; }"
        : D32(0)
        : "l"(a), "l"(b), "n"(transposed_a), "n"(transposed_b));
#else
    __trap();
#endif
}

template <bool transposed_a, bool transposed_b>
__device__ inline void wgmma_128(float* d, unsigned long long a, unsigned long long b) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, 1, 0; "
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, p, 1, 1, %66, %67; }"
        : D32(0), D32(32)
        : "l"(a), "l"(b), "n"(transposed_a), "n"(transposed_b));
#else
    __trap();
#endif
}
#undef D32
#undef D8

template <int columns, bool transposed_a, bool transposed_b>
__device__ inline void wgmma_bf16(float* d, unsigned long long a, unsigned long long b) {
    static_assert(columns == 64 || columns == 128, "products have 64 or 128 columns");
    if constexpr (columns == 64) wgmma_64<transposed_a, transposed_b>(d, a, b);
    else wgmma_128<transposed_a, transposed_b>(d, a, b);
}

// keeps the compiler from moving what is done with d across the instruction beside it
template <int columns>
__device__ inline void keep_in_place(float* d) {
#pragma unroll
    for (int i = 0; i < columns / 2; i++) asm volatile("" : "+f"(d[i])::"memory");
}

template <int columns>
__device__ inline void wgmma_fence(float* d) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    keep_in_place<columns>(d);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ inline void wgmma_commit() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

template <int pending, int columns>
__device__ inline void wgmma_wait(float* d) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
    keep_in_place<columns>(d);
#endif
}

__device__ inline void fence_proxy_async() {
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

#endif
