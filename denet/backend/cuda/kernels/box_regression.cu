// The cost of a regression (rows, 4) that moves each sampled box onto the object that overlaps it
// most, where that is by more than `overlap`. A warp has a row; its lanes look at the objects, then
// the first four have the errors of x, y, w, h.
#include "cost.cuh"
#include "box.cuh"

constexpr float EPS = 1e-3f;  // of the bounded IoU, as part of the image

struct Error {
    float value, slope;  // and its derivative by the regression
};

struct Match {
    float iou;
    int object;
};

// The object that overlaps most, the first of equal ones.
__device__ inline Match best_match(
    const Box& sample, const float* boxes, const int* classes, int objects) {
    Match best = {-1.f, 0};
    for (int i = lane(); i < objects; i += 32) {
        if (classes[i] < 0) continue;
        const float shared = iou(sample, load_box(boxes, i));
        if (shared > best.iou) best = {shared, i};
    }
    for (int distance = 16; distance; distance /= 2) {
        const float shared = __shfl_xor_sync(0xFFFFFFFFu, best.iou, distance);
        const int object = __shfl_xor_sync(0xFFFFFFFFu, best.object, distance);
        if (shared > best.iou || (shared == best.iou && object < best.object)) {
            best = {shared, object};
        }
    }
    return best;
}

__device__ inline Error standard_error(float r, float code) { return {r - code, 1.f}; }

__device__ inline Error bounded_shift(float p, float t, float t_side, float s_side) {
    const float shift = p - t, size = fabsf(shift), reach = t_side + size + EPS;
    const float sign = shift > 0.f ? 1.f : shift < 0.f ? -1.f : 0.f;
    return {2.f * size / reach, 2.f * sign * s_side * (t_side + EPS) / reach / reach};
}

__device__ inline Error bounded_side(float p, float t) {
    if (p > t) return {1.f - t / (p + EPS), t * p / ((p + EPS) * (p + EPS))};
    return {1.f - p / (t + EPS), -p / (t + EPS)};
}

// The error of one number r: of x or y (`axis` 0 or 1), or of the side along it.
__device__ inline Error error_of(
    float r, const Centre& sample, const Centre& target, int axis, bool of_side, bool bounded) {
    const float s = axis ? sample.middle[1] : sample.middle[0];
    const float s_side = axis ? sample.side[1] : sample.side[0];
    const float t = axis ? target.middle[1] : target.middle[0];
    const float t_side = axis ? target.side[1] : target.side[0];
    if (of_side) {
        return bounded ? bounded_side(s_side * grown(r), t_side)
                       : standard_error(r, logf(t_side / s_side));
    }
    return bounded ? bounded_shift(s + r * s_side, t, t_side, s_side)
                   : standard_error(r, (t - s) / s_side);
}

extern "C" __global__ void __launch_bounds__(THREADS)
cost(const float* regression, const float* samples_of_all, const float* boxes, const int* classes,
     float* gradient, float* parts, int rows, int samples, int objects, int bounded,
     float overlap, float scale) {
    SHARED(float, sums, WARPS);
    float total = 0.f;
    for (int row = first_row(); row < rows; row += rows_at_once()) {
        const long long image = static_cast<long long>(row / samples) * objects;
        const Box sample = load_box(samples_of_all, row);
        const Match match = best_match(sample, boxes + 4 * image, classes + image, objects);
        if (lane() >= 4) continue;
        const long long at = 4ll * row + lane();
        if (!(match.iou > overlap)) {
            gradient[at] = 0.f;
            continue;
        }
        const Box object = load_box(boxes, image + match.object);
        const Error error = error_of(
            regression[at], centre(sample), centre(object), lane() % 2, lane() >= 2, bounded);
        const float e = error.value, clipped = e < -1.f ? -1.f : e > 1.f ? 1.f : e;
        total += clipped * (e - clipped / 2.f);
        gradient[at] = clipped * error.slope * scale;
    }
    write_part(total, sums, parts);
}
