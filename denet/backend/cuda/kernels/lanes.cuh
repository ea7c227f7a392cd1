// Sums over the lanes of a block: its threads stand in `columns` columns, thread by thread along a
// row, and a lane is such a row. What is left of THREADS / columns has no lane of its own.

struct Lanes {
    int columns, lanes, column, lane;
};

__device__ inline Lanes lanes_of(int columns) {
    const int thread = threadIdx.x;
    return {columns, THREADS / columns, thread % columns, thread / columns};
}

// Gives every thread of a column the sum of the values of all its lanes, added in an order of its
// own. `room` holds THREADS * count numbers.
template <int count>
__device__ inline void sum_over_lanes(float (&value)[count], float* room, const Lanes& at) {
    for (int i = 0; i < count; i++) room[i * THREADS + threadIdx.x] = value[i];
    int half = 1;
    while (2 * half < at.lanes) half *= 2;
    for (; half && at.lanes > 1; half /= 2) {
        __syncthreads();
        if (at.lane < half && at.lane + half < at.lanes) {
            float* const to = room + threadIdx.x;
            for (int i = 0; i < count; i++) to[i * THREADS] += to[i * THREADS + half * at.columns];
        }
    }
    __syncthreads();
    for (int i = 0; i < count; i++) value[i] = room[i * THREADS + at.column];
    __syncthreads();
}
