// The nearest enlargement of a map, every cell a block of `scale` x `scale`, and its gradient, the
// sum of each block. A thread has SIZE channels of a cell of the small map.
#include "cells.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
pool_inverse(const real* x, real* y, int height, int width, int channels, int scale) {
    const Place at = place(height, width, channels, SIZE);
    if (!at.inside) return;
    const Pack<real, SIZE> values =
        load_pack<SIZE>(x + offset(at.row, at.column, height, width, channels) + at.channel);
    for (int i = 0; i < scale; i++) {
        real* row = y + at.channel + offset(
            at.row * scale + i, at.column * scale, height * scale, width * scale, channels);
        for (int j = 0; j < scale; j++) store_pack(row + j * channels, values);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
pool_inverse_backward(const real* g, real* gx, int height, int width, int channels, int scale) {
    const Place at = place(height, width, channels, SIZE);
    if (!at.inside) return;
    float sum[SIZE] = {};
    for (int i = 0; i < scale; i++) {
        const real* row = g + at.channel + offset(
            at.row * scale + i, at.column * scale, height * scale, width * scale, channels);
        for (int j = 0; j < scale; j++) {
            const Pack<real, SIZE> values = load_pack<SIZE>(row + j * channels);
            for (int k = 0; k < SIZE; k++) sum[k] += load(values.element + k);
        }
    }
    Pack<real, SIZE> total;
    for (int k = 0; k < SIZE; k++) store(total.element + k, sum[k]);
    store_pack(gx + offset(at.row, at.column, height, width, channels) + at.channel, total);
}
