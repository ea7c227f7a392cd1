// Rectangles of maps, moved: cut out, put into zeros, mirrored. A thread writes one unit of the
// target: FROM and TO are uint4 where channels allow it, else the element types of both sides.
#include "cells.cuh"

__device__ inline void move_unit(const uint4* x, uint4* y) { *y = *x; }

template <class From, class To>
__device__ inline void move_unit(const From* x, To* y) {
    store(y, load(x));
}

// y at a place from x at (row, column); 0 where x ends before
__device__ inline void fetch(
    const FROM* x, int x_height, int x_width, int x_channels, int x_depth, int row, int column,
    TO* y, int y_height, int y_width, int y_channels, const Place& at) {
    y += offset(at.row, at.column, y_height, y_width, y_channels) + at.channel;
    const bool is_there = static_cast<unsigned>(row) < static_cast<unsigned>(x_height) &&
                          static_cast<unsigned>(column) < static_cast<unsigned>(x_width) &&
                          at.channel < x_depth;
    if (is_there) {
        move_unit(x + offset(row, column, x_height, x_width, x_channels) + at.channel, y);
    } else {
        *y = TO{};
    }
}

// y[n, i, j, k] = x[n, i + top, j + left, k] for k < depth; x holds channels below x_depth
extern "C" __global__ void __launch_bounds__(THREADS)
move(const FROM* x, int x_height, int x_width, int x_channels, int x_depth,
     TO* y, int y_height, int y_width, int y_channels, int depth, int top, int left) {
    const Place at = place(y_height, y_width, depth, 1);
    if (!at.inside) return;
    fetch(x, x_height, x_width, x_channels, x_depth, at.row + top, at.column + left,
          y, y_height, y_width, y_channels, at);
}

// The same by choices (n, 4) of top, left, mirror and flip: a part of x cut out into y where `sign`
// is 1; a gradient x of the part put back to where it was cut from y where it is -1.
extern "C" __global__ void __launch_bounds__(THREADS)
move_mirrored(const FROM* x, int x_height, int x_width, TO* y, int y_height, int y_width,
              int channels, const int* choices, int sign) {
    const Place at = place(y_height, y_width, channels, 1);
    if (!at.inside) return;
    choices += 4 * blockIdx.y;
    const int top = choices[0], left = choices[1];
    const int height = min(x_height, y_height), width = min(x_width, y_width);  // of the part
    const int row = choices[3] ? top + height - 1 - at.row : at.row + sign * top;
    const int column = choices[2] ? left + width - 1 - at.column : at.column + sign * left;
    fetch(x, x_height, x_width, channels, channels, row, column,
          y, y_height, y_width, channels, at);
}
