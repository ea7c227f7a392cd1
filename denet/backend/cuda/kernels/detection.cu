// Where a detector says that its boxes are, and how many of the true ones samples have found.
#include "box.cuh"

constexpr int WARPS = THREADS / 32;

// The boxes to which a regression (dx, dy, dw, dh) leads from samples, the samples themselves
// without one; a thread has a box.
extern "C" __global__ void __launch_bounds__(THREADS)
decode(const float* regression, const float* sample, float* box, long long count) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    float4 result = reinterpret_cast<const float4*>(sample)[i];
    if (regression) {
        const float4 moved = reinterpret_cast<const float4*>(regression)[i];
        const Centre from = centre(load_box(sample, i));
        const float x = from.middle[0] + moved.x * from.side[0];
        const float y = from.middle[1] + moved.y * from.side[1];
        const float half_width = from.side[0] * grown(moved.z) / 2.f;
        const float half_height = from.side[1] * grown(moved.w) / 2.f;
        result = make_float4(x - half_width, y - half_height, x + half_width, y + half_height);
    }
    reinterpret_cast<float4*>(box)[i] = result;
}

// How many true boxes of an image some sample overlaps by more than `overlap`, and how many there
// are: counts[2 * image] and the next. A block has an image, a warp a box, its lanes the samples.
extern "C" __global__ void __launch_bounds__(THREADS)
coverage(const float* sample, const float* boxes, const int* classes, int* counts, int samples,
         int objects, float overlap) {
    SHARED(int, covered, WARPS);
    SHARED(int, present, WARPS);
    const int warp = threadIdx.x / 32;
    const long long image = static_cast<long long>(blockIdx.x);
    int found = 0, all = 0;
    for (int object = warp; object < objects; object += WARPS) {
        if (classes[image * objects + object] < 0) continue;
        const Box box = load_box(boxes, image * objects + object);
        bool any = false;
        for (int i = threadIdx.x % 32; i < samples; i += 32) {
            any = any || iou(box, load_box(sample, image * samples + i)) > overlap;
        }
        found += __any_sync(0xFFFFFFFFu, any);
        all++;
    }
    if (threadIdx.x % 32 == 0) {
        covered[warp] = found;
        present[warp] = all;
    }
    __syncthreads();
    if (threadIdx.x) return;
    for (int other = 1; other < WARPS; other++) {
        found += covered[other];
        all += present[other];
    }
    counts[2 * image] = found;
    counts[2 * image + 1] = all;
}

// The sum of pairs of counts; one thread for each of a pair
extern "C" __global__ void __launch_bounds__(32)
add_counts(const int* counts, int images, int* total) {
    if (threadIdx.x >= 2) return;
    int sum = 0;
    for (int image = 0; image < images; image++) sum += counts[2 * image + threadIdx.x];
    total[threadIdx.x] = sum;
}
