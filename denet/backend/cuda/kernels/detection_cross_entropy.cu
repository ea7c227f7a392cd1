// The cost of logits x (rows, outputs) against what the objects of its image say of each sampled
// box: those whose IoU is above `overlap` share 1 between their outputs, without any the
// output `null` has it. A row is a sample, of which an image has `samples`; a warp has a row, and
// each of its lanes every 32nd object.
#include "cost.cuh"
#include "box.cuh"

constexpr int BINS = 5;  // of the IoU between `overlap` and 1

// The output of an object is class_step * its class + bin_step * its bin + first.
struct Outputs {
    int count, class_step, bin_step, first, null;
};

// What counts as overlap, and how much more is possible.
struct Range {
    float least, width;
};

__device__ inline int output_of(
    const Outputs& outputs, int box_class, float iou, const Range& range) {
    const float fitness = __fdiv_rn(__fmul_rn(BINS, iou - range.least), range.width);
    const int bin = min(max(static_cast<int>(fitness), 0), BINS - 1);
    return outputs.class_step * box_class + outputs.bin_step * bin + outputs.first;
}

// Writes 1 for each output that an object has, else 0; returns how many there are.
__device__ inline float mark(
    float* target, const Outputs& outputs, const Box& sample, const float* boxes,
    const int* classes, int objects, const Range& range) {
    for (int c = lane(); c < outputs.count; c += 32) target[c] = 0.f;
    __syncwarp();
    for (int i = lane(); i < objects; i += 32) {
        if (classes[i] < 0) continue;
        const float shared = iou(sample, load_box(boxes, i));
        if (!(shared > range.least)) continue;
        const int output = output_of(outputs, classes[i], shared, range);
        target[min(output, outputs.count - 1)] = output < outputs.count ? 1.f : NOT_A_NUMBER;
    }
    __syncwarp();
    float marked = 0.f;
    for (int c = lane(); c < outputs.count; c += 32) marked += target[c];
    return warp_sum(marked);
}

extern "C" __global__ void __launch_bounds__(THREADS)
cost(const float* x, const float* sample, const float* boxes, const int* classes, float* gradient,
     float* parts, int rows, int samples, int objects, int count, int class_step, int bin_step,
     int first, int null, float overlap, float range, float scale) {
    SHARED(float, sums, WARPS);
    const Outputs outputs = {count, class_step, bin_step, first, null};
    float total = 0.f;
    for (int row = first_row(); row < rows; row += rows_at_once()) {
        const long long at = static_cast<long long>(row) * count;
        const long long image = static_cast<long long>(row / samples) * objects;
        float* const target = gradient + at;  // until the gradient takes its place
        const float marked = mark(
            target, outputs, load_box(sample, row), boxes + 4 * image, classes + image, objects,
            {overlap, range});
        const Extent extent = extent_of(x + at, count);
        for (int c = lane(); c < count; c += 32) {
            const float wanted = marked == 0.f ? c == null : target[c] / marked;
            const float away = x[at + c] - extent.largest;
            total -= wanted * away;
            target[c] = scale * (expf(away) / extent.sum - wanted);
        }
        if (!lane()) total += logf(extent.sum);
    }
    write_part(total, sums, parts);
}
