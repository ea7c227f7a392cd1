// What training should find on a map of corners (images, height, width, corners), and how much.
#include "cost.cuh"
#include "box.cuh"

struct Cell {
    long long x, y;
};

// Half of a whole number, halves rounded to even.
__device__ inline long long middle(long long twice) {
    return static_cast<long long>(rint(static_cast<double>(twice) / 2.));
}

// Where a corner of a box lies: top left, top right, bottom left, bottom right, centre. A box
// has the cells from round(x0 width) to round(x1 width) - 1, one at least; halves go to even.
__device__ inline Cell corner_of(const Box& box, int corner, int height, int width) {
    const long long x0 = static_cast<long long>(rintf(box.x0 * width));
    const long long y0 = static_cast<long long>(rintf(box.y0 * height));
    const long long x1 = max(x0, static_cast<long long>(rintf(box.x1 * width)) - 1);
    const long long y1 = max(y0, static_cast<long long>(rintf(box.y1 * height)) - 1);
    if (corner == 4) return {middle(x0 + x1), middle(y0 + y1)};
    return {corner % 2 ? x1 : x0, corner / 2 ? y1 : y0};
}

// 1 at the corners of boxes with a class, else 0; a block has an image.
extern "C" __global__ void __launch_bounds__(THREADS)
corner_target(const float* boxes, const int* classes, float* target, int objects, int height,
              int width, int corners) {
    const long long image = blockIdx.x;
    const int count = height * width * corners;
    float* const map = target + image * count;
    for (int i = threadIdx.x; i < count; i += THREADS) map[i] = 0.f;
    __syncthreads();
    for (int i = threadIdx.x; i < objects * corners; i += THREADS) {
        const long long object = image * objects + i / corners;
        if (classes[object] < 0) continue;
        const int corner = i % corners;
        const Cell cell = corner_of(load_box(boxes, object), corner, height, width);
        if (cell.x < 0 || cell.x >= width || cell.y < 0 || cell.y >= height) continue;
        map[(cell.y * width + cell.x) * corners + corner] = 1.f;
    }
}

// Parts of the sum of a target, and how many numbers it has; cost.cu adds the parts.
extern "C" __global__ void __launch_bounds__(THREADS)
corner_cells(const float* target, float* parts, float* number, long long count) {
    SHARED(float, sums, WARPS);
    const long long step = static_cast<long long>(gridDim.x) * THREADS;
    float sum = 0.f;
    for (long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x; i < count;
         i += step) {
        sum += target[i];
    }
    write_part(sum, sums, parts);
    if (!blockIdx.x && !threadIdx.x) *number = count;
}
