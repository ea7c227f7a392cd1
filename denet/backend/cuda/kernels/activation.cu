// Activation functions by element, and their gradients by what they gave. One vector per thread.
#include "port.cuh"

template <class Function>
__device__ inline void by_element(const real* x, real* y, long long count, Function function) {
    constexpr int size = Vector<real>::size;
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * size;
    if (first + size <= count) {
        Vector<real> values = load_vector(x + first);
        for (int i = 0; i < size; i++) values.value[i] = function(values.value[i]);
        store_vector(y + first, values);
        return;
    }
    for (long long i = first; i < count; i++) store(y + i, function(load(x + i)));
}

template <class Function>
__device__ inline void by_element(
    const real* g, const real* y, real* gx, long long count, Function function) {
    constexpr int size = Vector<real>::size;
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * size;
    if (first + size <= count) {
        Vector<real> values = load_vector(g + first);
        const Vector<real> others = load_vector(y + first);
        for (int i = 0; i < size; i++) {
            values.value[i] = function(values.value[i], others.value[i]);
        }
        store_vector(gx + first, values);
        return;
    }
    for (long long i = first; i < count; i++) store(gx + i, function(load(g + i), load(y + i)));
}

// Every function passes NaN on.
struct Sigmoid {
    // no overflow, exact to the last digits on both sides
    __device__ float operator()(float x) const {
        return expf(x < 0.f ? x : 0.f) / (1.f + expf(-fabsf(x)));
    }
    __device__ float operator()(float g, float y) const { return g * y * (1.f - y); }
};

struct Relu {
    __device__ float operator()(float x) const { return relu(x); }
    __device__ float operator()(float g, float y) const { return y > 0.f ? g : 0.f; }
};

struct LeakyRelu {  // LEAK is the slope below 0
    __device__ float operator()(float x) const { return x > 0.f ? x : LEAK * x; }
    __device__ float operator()(float g, float y) const { return y > 0.f ? g : LEAK * g; }
};

struct Elu {
    __device__ float operator()(float x) const { return x > 0.f ? x : expm1f(x); }
    __device__ float operator()(float g, float y) const { return y > 0.f ? g : g * (y + 1.f); }
};

struct Tanh {
    __device__ float operator()(float x) const { return tanhf(x); }
    __device__ float operator()(float g, float y) const { return g * (1.f - y * y); }
};

struct Softplus {
    __device__ float operator()(float x) const {
        return (x > 0.f ? x : 0.f) + log1pf(expf(-fabsf(x)));
    }
    __device__ float operator()(float g, float y) const { return g * -expm1f(-y); }
};

#define ACTIVATION(name, Function)                                             \
    extern "C" __global__ void __launch_bounds__(THREADS)                      \
    name(const real* x, real* y, long long count) {                            \
        by_element(x, y, count, Function());                                   \
    }                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS)                      \
    name##_backward(const real* g, const real* y, real* gx, long long count) { \
        by_element(g, y, gx, count, Function());                               \
    }

ACTIVATION(activation_sigmoid, Sigmoid)
ACTIVATION(activation_relu, Relu)
ACTIVATION(activation_leaky_relu, LeakyRelu)
ACTIVATION(activation_elu, Elu)
ACTIVATION(activation_tanh, Tanh)
ACTIVATION(activation_softplus, Softplus)
