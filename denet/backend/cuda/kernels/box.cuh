// Boxes as denet/detect/box.py has them. What is compared is rounded as there: no product is
// joined with a sum.
#include "port.cuh"

struct Box {
    float x0, y0, x1, y1;
};

struct Centre {
    float middle[2], side[2];  // x, y
};

__device__ inline Box load_box(const float* boxes, long long index) {
    const float4 box = reinterpret_cast<const float4*>(boxes)[index];
    return {box.x, box.y, box.z, box.w};
}

__device__ inline float area(const Box& box) {
    return __fmul_rn(fmaxf(box.x1 - box.x0, 0.f), fmaxf(box.y1 - box.y0, 0.f));
}

__device__ inline float iou(const Box& a, const Box& b) {
    const float width = fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0);
    const float height = fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0);
    const float shared = __fmul_rn(fmaxf(width, 0.f), fmaxf(height, 0.f));
    const float together = area(a) + area(b) - shared;
    return __fdiv_rn(shared, fmaxf(together, 1.17549435e-38f));  // the smallest normal number
}

constexpr float SMALLEST_SIDE = 1e-6f;
constexpr float LARGEST_EXPONENT = 20.f;

__device__ inline Centre centre(const Box& box) {
    return {
        {(box.x0 + box.x1) / 2.f, (box.y0 + box.y1) / 2.f},
        {fmaxf(box.x1 - box.x0, SMALLEST_SIDE), fmaxf(box.y1 - box.y0, SMALLEST_SIDE)},
    };
}

// e^x of a regressed side; NaN stays NaN
__device__ inline float grown(float x) {
    return expf(x > LARGEST_EXPONENT ? LARGEST_EXPONENT : x);
}
