// Boxes that name whole cells of a map, the last ones included, and what they weigh.
#include "block.cuh"

constexpr int CENTRE = 4;  // the corner type; t = 0 to 3 lie right where t & 1, below where t & 2

struct __align__(8) CellBox {
    unsigned short x0, y0, x1, y1;
};

__device__ inline int area(const CellBox& box) {
    return (box.x1 + 1 - box.x0) * (box.y1 + 1 - box.y0);
}

// half of a number, halves rounded to even
__device__ inline int middle(int twice) { return (twice >> 1) + (twice >> 1 & twice & 1); }

// Logits h (height, width, types) of one image: log P(corner) - log P(no corner) is -2 h. Sums of h
// are -1/2 of the reference's sums to the last bit, if they are taken in its order.
struct Map {
    const float* logit;
    int height, width, types;

    __device__ float at(int x, int y, int type) const {
        return logit[(y * width + x) * types + type];
    }

    __device__ float sum(const CellBox& box) const {
        float total = at(box.x0, box.y0, 0) + at(box.x1, box.y0, 1);
        total += at(box.x0, box.y1, 2);
        total += at(box.x1, box.y1, 3);
        if (types > CENTRE) total += at(middle(box.x0 + box.x1), middle(box.y0 + box.y1), CENTRE);
        return total;
    }

    // the best boxes first, of equal ones by x0, y0, x1, y1: at most 65536 cells
    __device__ Key rank(const CellBox& box) const {
        const unsigned from = box.x0 * height + box.y0, to = box.x1 * height + box.y1;
        return static_cast<Key>(ordered(sum(box))) << 32 | (from * (width * height) + to);
    }

    __device__ CellBox box(Key rank) const {
        const unsigned code = static_cast<unsigned>(rank), cells = width * height;
        const unsigned from = code / cells, to = code % cells;
        return {static_cast<unsigned short>(from / height),
                static_cast<unsigned short>(from % height),
                static_cast<unsigned short>(to / height), static_cast<unsigned short>(to % height)};
    }
};
