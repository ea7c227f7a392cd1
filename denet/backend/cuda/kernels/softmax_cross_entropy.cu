// The cost of logits x (rows, classes) against a class for each of `cells` rows, with label
// smoothing: t is `share` everywhere, and 1 - smoothing more at the class. A warp has a row.
#include "cost.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
cost(const real* x, const int* index, float* parts, int rows, int classes, int cells,
     float smoothing) {
    SHARED(float, sums, WARPS);
    const float share = smoothing / classes;
    float total = 0.f;
    for (int row = first_row(); row < rows; row += rows_at_once()) {
        const real* const logits = x + static_cast<long long>(row) * classes;
        const Extent extent = extent_of(logits, classes);
        float said = 0.f;  // sum t (x - largest) of this lane
        for (int c = lane(); c < classes; c += 32) {
            const float target = c == index[row / cells] ? share + (1.f - smoothing) : share;
            said += target * (load(logits + c) - extent.largest);
        }
        if (static_cast<unsigned>(index[row / cells]) >= classes) said = NOT_A_NUMBER;
        total -= said;
        if (!lane()) total += logf(extent.sum);
    }
    write_part(total, sums, parts);
}

// gx = g / rows (softmax(x) - t)
extern "C" __global__ void __launch_bounds__(THREADS)
gradient(const real* x, const int* index, const float* g, real* gx, int rows, int classes,
         int cells, float smoothing) {
    const float share = smoothing / classes, factor = *g / rows;
    for (int row = first_row(); row < rows; row += rows_at_once()) {
        const long long at = static_cast<long long>(row) * classes;
        const Extent extent = extent_of(x + at, classes);
        for (int c = lane(); c < classes; c += 32) {
            const float target = c == index[row / cells] ? share + (1.f - smoothing) : share;
            const float said = expf(load(x + at + c) - extent.largest) / extent.sum;
            store(gx + at + c, factor * (said - target));
        }
    }
}
