// What every kernel is written in: element types and vectors, loads and stores in float.
// -D real=float or bf16 names the precision of a plan.
#include "ptx.cuh"

struct bf16 {
    unsigned short bits;
};

__device__ inline float load(const float* p) { return *p; }
__device__ inline float load(const bf16* p) {
    return __uint_as_float(static_cast<unsigned>(p->bits) << 16);
}

__device__ inline void store(float* p, float value) { *p = value; }
// rounds to nearest, ties to even; NaN stays NaN
__device__ inline void store(bf16* p, float value) {
    const unsigned bits = __float_as_uint(value);
    const unsigned rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    p->bits = static_cast<unsigned short>(value == value ? rounded : 0x7FC0u);
}

// 16 bytes, the most that one instruction moves; p must lie on a boundary of 16 bytes
template <class T>
struct Vector {
    static constexpr int size = 16 / sizeof(T);
    float value[size];
};

template <class T>
__device__ inline Vector<T> load_vector(const T* p) {
    union {
        uint4 raw;
        T element[Vector<T>::size];
    } moved;
    moved.raw = *reinterpret_cast<const uint4*>(p);
    Vector<T> vector;
    for (int i = 0; i < Vector<T>::size; i++) vector.value[i] = load(moved.element + i);
    return vector;
}

template <class T>
__device__ inline void store_vector(T* p, const Vector<T>& vector) {
    union {
        uint4 raw;
        T element[Vector<T>::size];
    } moved;
    for (int i = 0; i < Vector<T>::size; i++) store(moved.element + i, vector.value[i]);
    *reinterpret_cast<uint4*>(p) = moved.raw;
}

__device__ inline float relu(float x) { return x < 0.f ? 0.f : x; }  // NaN stays NaN
