// The maximum of each window and where it lies; the gradient goes to that cell alone.
// A thread has SIZE channels of a cell: of the output, and of the input on the way back.
#include "window.cuh"

#define LOWEST __uint_as_float(0xFF800000u)  // -infinity

// INDEX counts the cells of a window row by row: the first that holds the maximum.
// NaN becomes the maximum and leaves the index as it was, as in NumPy.
extern "C" __global__ void __launch_bounds__(THREADS)
pool_max(const real* x, real* y, INDEX* index, int channels, int height, int out_height,
         int size_y, int stride_y, int width, int out_width, int size_x, int stride_x,
         int padding) {
    const Axis down = {height, out_height, size_y, stride_y, padding};
    const Axis across = {width, out_width, size_x, stride_x, padding};
    const Place at = place(out_height, out_width, channels, SIZE);
    if (!at.inside) return;
    const Range rows = cells_in(down, at.row), columns = cells_in(across, at.column);
    float largest[SIZE];
    Pack<INDEX, SIZE> where;
    for (int i = 0; i < SIZE; i++) {
        largest[i] = LOWEST;
        where.element[i] = 0;
    }
    for (int row = rows.first; row < rows.end; row++) {
        int number = position(down, at.row, row) * size_x +
                     position(across, at.column, columns.first);
        const real* from = x + offset(row, columns.first, height, width, channels) + at.channel;
        for (int column = columns.first; column < columns.end; column++, number++) {
            const Pack<real, SIZE> values = load_pack<SIZE>(from);
            from += channels;
            for (int i = 0; i < SIZE; i++) {
                const float value = load(values.element + i);
                if (value > largest[i]) {
                    largest[i] = value;
                    where.element[i] = static_cast<INDEX>(number);
                } else if (value != value) {
                    largest[i] = value;
                }
            }
        }
    }
    Pack<real, SIZE> found;
    for (int i = 0; i < SIZE; i++) store(found.element + i, largest[i]);
    const long long target =
        offset(at.row, at.column, out_height, out_width, channels) + at.channel;
    store_pack(y + target, found);
    if (index) store_pack(index + target, where);
}

extern "C" __global__ void __launch_bounds__(THREADS)
pool_max_backward(const real* g, const INDEX* index, real* gx, int channels, int height,
                  int out_height, int size_y, int stride_y, int width, int out_width, int size_x,
                  int stride_x, int padding) {
    const Axis down = {height, out_height, size_y, stride_y, padding};
    const Axis across = {width, out_width, size_x, stride_x, padding};
    const Place at = place(height, width, channels, SIZE);
    if (!at.inside) return;
    const Range rows = windows_over(down, at.row), columns = windows_over(across, at.column);
    float sum[SIZE] = {};
    for (int row = rows.first; row < rows.end; row++) {
        for (int column = columns.first; column < columns.end; column++) {
            const INDEX number = static_cast<INDEX>(
                position(down, row, at.row) * size_x + position(across, column, at.column));
            const long long from =
                offset(row, column, out_height, out_width, channels) + at.channel;
            const Pack<INDEX, SIZE> where = load_pack<SIZE>(index + from);
            const Pack<real, SIZE> values = load_pack<SIZE>(g + from);
            for (int i = 0; i < SIZE; i++) {
                if (where.element[i] == number) sum[i] += load(values.element + i);
            }
        }
    }
    Pack<real, SIZE> total;
    for (int i = 0; i < SIZE; i++) store(total.element + i, sum[i]);
    store_pack(gx + offset(at.row, at.column, height, width, channels) + at.channel, total);
}
