// Windows over a map: their cells, and the windows over a cell, along one axis each.
#include "cells.cuh"

struct Axis {
    int length, windows, size, stride, padding;
};

struct Range {
    int first, end;
};

// the cells of a map that a window sees
__device__ inline Range cells_in(const Axis& axis, int window) {
    const int start = window * axis.stride - axis.padding;
    const int first = max(start, 0);
    return {first, max(first, min(start + axis.size, axis.length))};
}

// the windows that see a cell
__device__ inline Range windows_over(const Axis& axis, int cell) {
    const int padded = cell + axis.padding, before = padded - axis.size;
    return {before < 0 ? 0 : before / axis.stride + 1,
            min(padded / axis.stride + 1, axis.windows)};
}

// where a cell lies in a window
__device__ inline int position(const Axis& axis, int window, int cell) {
    return cell + axis.padding - window * axis.stride;
}

// how many cells of a window are of the map or its padding: the others lie beyond
__device__ inline int counted(const Axis& axis, int window) {
    const int start = window * axis.stride;
    return min(axis.size, axis.length + 2 * axis.padding - start);
}
