// The words of CUDA C that a kernel's text uses beyond C++: qualifiers, vectors, intrinsics.
// Only what kernels use and NVRTC knows without a header; so none is included here either.
#pragma once

#define __device__
#define __host__
#define __global__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

using size_t = decltype(sizeof 0);
constexpr int warpSize = 32;

#define SHIM_VECTOR(type, name)                                                              \
    struct __align__(2 * sizeof(type)) name##2 { type x, y; };                               \
    struct name##3 { type x, y, z; };                                                        \
    struct __align__(sizeof(type) == 8 ? 16 : 4 * sizeof(type)) name##4 { type x, y, z, w; };\
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }                         \
    inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }              \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
SHIM_VECTOR(signed char, char)
SHIM_VECTOR(unsigned char, uchar)
SHIM_VECTOR(short, short)
SHIM_VECTOR(unsigned short, ushort)
SHIM_VECTOR(int, int)
SHIM_VECTOR(unsigned, uint)
SHIM_VECTOR(long long, longlong)
SHIM_VECTOR(unsigned long long, ulonglong)
SHIM_VECTOR(float, float)
SHIM_VECTOR(double, double)
#undef SHIM_VECTOR

// mathematics: the C library's functions, and CUDA's overloads of them for float
extern "C" int printf(const char*, ...);
#define SHIM_UNARY(name)                            \
    extern "C" float name##f(float) noexcept;       \
    extern "C" double name(double) noexcept;        \
    inline float name(float x) { return name##f(x); }
#define SHIM_BINARY(name)                                      \
    extern "C" float name##f(float, float) noexcept;           \
    extern "C" double name(double, double) noexcept;           \
    inline float name(float x, float y) { return name##f(x, y); }
SHIM_UNARY(exp) SHIM_UNARY(exp2) SHIM_UNARY(expm1) SHIM_UNARY(log) SHIM_UNARY(log2)
SHIM_UNARY(log10) SHIM_UNARY(log1p) SHIM_UNARY(sqrt) SHIM_UNARY(cbrt) SHIM_UNARY(sin)
SHIM_UNARY(cos) SHIM_UNARY(tan) SHIM_UNARY(sinh) SHIM_UNARY(cosh) SHIM_UNARY(tanh)
SHIM_UNARY(asin) SHIM_UNARY(acos) SHIM_UNARY(atan) SHIM_UNARY(erf) SHIM_UNARY(erfc)
SHIM_UNARY(floor) SHIM_UNARY(ceil) SHIM_UNARY(trunc) SHIM_UNARY(round) SHIM_UNARY(rint)
SHIM_UNARY(nearbyint) SHIM_UNARY(fabs)
SHIM_BINARY(pow) SHIM_BINARY(fmod) SHIM_BINARY(fmax) SHIM_BINARY(fmin) SHIM_BINARY(atan2)
SHIM_BINARY(hypot) SHIM_BINARY(copysign) SHIM_BINARY(nextafter)
#undef SHIM_UNARY
#undef SHIM_BINARY
extern "C" float fmaf(float, float, float) noexcept;
extern "C" double fma(double, double, double) noexcept;
extern "C" float ldexpf(float, int) noexcept;
inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline double rsqrt(double x) { return 1. / sqrt(x); }
inline float fdividef(float x, float y) { return x / y; }
inline bool isnan(double x) { return __builtin_isnan(x); }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline bool signbit(double x) { return __builtin_signbit(x); }
inline int abs(int x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }

#define SHIM_ORDER(type)                                           \
    inline type min(type a, type b) { return b < a ? b : a; }      \
    inline type max(type a, type b) { return a < b ? b : a; }
SHIM_ORDER(int)
SHIM_ORDER(unsigned)
SHIM_ORDER(long)
SHIM_ORDER(unsigned long)
SHIM_ORDER(long long)
SHIM_ORDER(unsigned long long)
#undef SHIM_ORDER
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

// arithmetic that is never contracted (nor is any other here: -ffp-contract=off)
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.f / a; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }  // NaN gives 0

// bits and conversions
template <class To, class From>
inline To shim_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps the size");
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
inline float __uint_as_float(unsigned x) { return shim_bits<float>(x); }
inline float __int_as_float(int x) { return shim_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return shim_bits<unsigned>(x); }
inline int __float_as_int(float x) { return shim_bits<int>(x); }
inline long long __double_as_longlong(double x) { return shim_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return shim_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= (x >> bit & 1u) << (31 - bit);
    return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
inline int __mulhi(int a, int b) { return (long long)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const unsigned long long bytes = (unsigned long long)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned choice = selector >> 4 * i & 15u;
        const unsigned byte = bytes >> 8 * (choice & 7u) & 255u;
        result |= (choice & 8u ? (byte >> 7) * 255u : byte) << 8 * i;
    }
    return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return ((unsigned long long)high << 32 | low) << (shift & 31u) >> 32;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return ((unsigned long long)high << 32 | low) >> (shift & 31u);
}
// the device's conversions saturate, and give 0 for NaN
inline int shim_to_int(double x) {
    return x >= 2147483647. ? 2147483647 : x <= -2147483648. ? (-2147483647 - 1) : x == x ? (int)x : 0;
}
inline int __float2int_rn(float x) { return shim_to_int(rint((double)x)); }
inline int __float2int_rd(float x) { return shim_to_int(floor((double)x)); }
inline int __float2int_ru(float x) { return shim_to_int(ceil((double)x)); }
inline int __float2int_rz(float x) { return shim_to_int(x); }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }
inline float __double2float_rn(double x) { return (float)x; }

// memory: loads and stores with a hint, fences, atomics on integers (those on float are not offered)
#define SHIM_HINTED(load, store)                                  \
    template <class T> inline T load(const T* p) { return *p; }   \
    template <class T> inline void store(T* p, T value) { *p = value; }
SHIM_HINTED(__ldcg, __stcg)
SHIM_HINTED(__ldcs, __stcs)
SHIM_HINTED(__ldca, __stwb)
#undef SHIM_HINTED
template <class T> inline T __ldg(const T* p) { return *p; }
inline void __threadfence() {}
inline void __threadfence_block() {}

#define SHIM_ATOMIC(name, result)                                 \
    inline int name(int* p, int value) {                          \
        const int old = *p;                                       \
        *p = result;                                              \
        return old;                                               \
    }                                                             \
    inline unsigned name(unsigned* p, unsigned value) {           \
        const unsigned old = *p;                                  \
        *p = result;                                              \
        return old;                                               \
    }                                                             \
    inline unsigned long long name(unsigned long long* p, unsigned long long value) { \
        const unsigned long long old = *p;                        \
        *p = result;                                              \
        return old;                                               \
    }
SHIM_ATOMIC(atomicAdd, old + value)
SHIM_ATOMIC(atomicMin, value < old ? value : old)
SHIM_ATOMIC(atomicMax, value > old ? value : old)
SHIM_ATOMIC(atomicAnd, old & value)
SHIM_ATOMIC(atomicOr, old | value)
SHIM_ATOMIC(atomicXor, old ^ value)
SHIM_ATOMIC(atomicExch, value)
#undef SHIM_ATOMIC
inline int atomicSub(int* p, int value) { return atomicAdd(p, -value); }
template <class T>
inline T atomicCAS(T* p, T expected, T value) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "atomicCAS takes 4 or 8 bytes");
    const T old = *p;
    if (old == expected) *p = value;
    return old;
}
inline unsigned atomicInc(unsigned* p, unsigned limit) {
    const unsigned old = *p;
    *p = old >= limit ? 0 : old + 1;
    return old;
}
