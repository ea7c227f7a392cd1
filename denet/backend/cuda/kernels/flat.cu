// Arithmetic on flat arrays, one element per thread.

#define INDEX                                                                             \
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x; \
    if (i >= count) return

extern "C" __global__ void __launch_bounds__(THREADS)
copy(const float* source, float* target, long long count) {
    INDEX;
    target[i] = source[i];
}

// states = keep * states + take * values
extern "C" __global__ void __launch_bounds__(THREADS)
running_average(
    float* states, const float* values, const float* keep, const float* take, long long count) {
    INDEX;
    states[i] = keep[i] * states[i] + take[i] * values[i];
}

extern "C" __global__ void __launch_bounds__(THREADS)
add_share(float* total, const float* values, float share, long long count) {
    INDEX;
    total[i] += share * values[i];
}

extern "C" __global__ void __launch_bounds__(THREADS)
blend(float* average, const float* values, float share, long long count) {
    INDEX;
    average[i] += share * (values[i] - average[i]);
}

// numbers = levels * scale + shift, by element of a row; rounded twice, as the host does
extern "C" __global__ void __launch_bounds__(THREADS)
number_levels(
    const unsigned char* levels, const float* scale, const float* shift, float* numbers, int row,
    long long count) {
    INDEX;
    const int place = static_cast<int>(i % row);
    numbers[i] = __fadd_rn(__fmul_rn(levels[i], scale[place]), shift[place]);
}

// *mark = 1 where a number is not finite
extern "C" __global__ void __launch_bounds__(THREADS)
mark_not_finite(const float* values, int* mark, long long count) {
    INDEX;
    if (!isfinite(values[i])) *mark = 1;
}
