// Update rules (graph/rule.py) on flat arrays, one element per thread; RULE names the function.
#include "port.cuh"

struct Element {
    float weight, gradient, first, second;  // first, second: the rule's running averages
};

struct Factors {
    float decay, shrink, learn_rate, first_momentum, second_momentum, root, share;
};

__device__ inline void gradient_descent(Element& e, const Factors& f) {
    e.weight -= f.learn_rate * e.gradient;
}

__device__ inline void sgd(Element& e, const Factors& f) {
    e.first = f.first_momentum * e.first + (1.f - f.first_momentum) * e.gradient;
    e.weight -= f.learn_rate * e.first;
}

__device__ inline void momentum(Element& e, const Factors& f) {
    e.first = f.first_momentum * e.first - f.learn_rate * e.gradient;
    e.weight += e.first;
}

__device__ inline void nesterov(Element& e, const Factors& f) {
    e.first = f.first_momentum * (e.first + e.gradient);
    e.weight -= f.learn_rate * (e.gradient + e.first);
}

// learn_rate is divided by 1 - b1^t, root is 1 / sqrt(1 - b2^t)
__device__ inline void adam(Element& e, const Factors& f) {
    e.first = f.first_momentum * e.first + (1.f - f.first_momentum) * e.gradient;
    e.second = f.second_momentum * e.second + (1.f - f.second_momentum) * e.gradient * e.gradient;
    e.weight -= f.learn_rate * e.first / (sqrtf(e.second) * f.root + EPSILON);
}

// g = scale * g + decay * p, then the rule; p shrinks first where decay is decoupled. ``mean``
// follows the weights by ``share``. Nothing is done where faults[0] is set; faults[1] = 1 where a
// weight is not finite.
extern "C" __global__ void __launch_bounds__(THREADS)
update(
    float* weights, const float* gradients, float* first, float* second, float* mean,
    const float* scale, const Factors* factors, int* faults, long long count) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count || faults[0]) return;
    const Factors f = *factors;
    Element e = {weights[i] * f.shrink, gradients[i], first ? first[i] : 0.f,
                 second ? second[i] : 0.f};
    if (scale) e.gradient *= *scale;
    e.gradient += f.decay * e.weight;
    RULE(e, f);
    weights[i] = e.weight;
    if (first) first[i] = e.first;
    if (second) second[i] = e.second;
    if (mean) mean[i] += f.share * (e.weight - mean[i]);
    if (!isfinite(e.weight)) faults[1] = 1;
}

__device__ inline double block_sum(double value, double* partial) {
    partial[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half; half /= 2) {
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }
    return partial[0];
}

// partials[block] = sum of the squares of every gridDim-th block of the gradient
extern "C" __global__ void __launch_bounds__(THREADS)
sum_squares(const float* gradients, double* partials, long long count) {
    SHARED(double, partial, THREADS);
    double sum = 0.;
    for (long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x; i < count;
         i += static_cast<long long>(gridDim.x) * THREADS)
        sum += static_cast<double>(gradients[i]) * gradients[i];
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// *scale brings the norm down to ``clip``; 1 where it is shorter or no number. One block.
extern "C" __global__ void __launch_bounds__(THREADS)
clip_scale(const double* partials, int number, float clip, float* scale) {
    SHARED(double, partial, THREADS);
    double sum = 0.;
    for (int i = threadIdx.x; i < number; i += THREADS) sum += partials[i];
    const double norm = sqrt(block_sum(sum, partial));
    if (threadIdx.x == 0) *scale = isfinite(norm) && norm > clip ? clip / norm : 1.f;
}
