// How a block multiplies a slice of 32 steps of depth by warps, each for itself (mma, from sm_80
// on). A matrix of a stage lies in lines, its chunks exchanged so that the 8 lines which ldmatrix
// reads at once lie in different banks. Either a line is a row (or column) of the product and runs
// along the depth, DEEP, or it is a step of depth and runs along the rows.

constexpr int SLICE = 32;
constexpr int WARPS_ACROSS = TILE_COLUMNS / WARP_COLUMNS;
static_assert(N % 2 == 0, "columns are loaded by two tiles");

#define STAGE_MEMORY(name) SHARED(bf16, name, STAGES * (LEFT + RIGHT))

template <int length, int lines>
__device__ inline int place(int line, int chunk) {
    return line * length + (chunk ^ (length == 32 ? line >> 1 & 3 : line & 7)) * CHUNK;
}

template <bool DEEP>
__device__ inline void load_left(unsigned* a, const bf16* left, int row, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++) {
        if (DEEP) {
            const int line = row + 16 * m + lane % 16, chunk = depth / CHUNK + lane / 16;
            ldmatrix<4>(a + 4 * m, left + place<SLICE, TILE_ROWS>(line, chunk));
        } else {
            const int line = depth + lane / 16 * 8 + lane % 8;
            const int chunk = row / CHUNK + 2 * m + lane / 8 % 2;
            ldmatrix_trans<4>(a + 4 * m, left + place<TILE_ROWS, SLICE>(line, chunk));
        }
    }
}

template <bool DEEP>
__device__ inline void load_right(unsigned* b, const bf16* right, int column, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; n += 2) {
        if (DEEP) {
            const int line = column + 8 * n + lane / 16 * 8 + lane % 8;
            const int chunk = depth / CHUNK + lane / 8 % 2;
            ldmatrix<4>(b + 2 * n, right + place<SLICE, TILE_COLUMNS>(line, chunk));
        } else {
            const int line = depth + lane % 16, chunk = column / CHUNK + n + lane / 16;
            ldmatrix_trans<4>(b + 2 * n, right + place<TILE_COLUMNS, SLICE>(line, chunk));
        }
    }
}

__device__ inline int fragment_row(int m) {
    return threadIdx.x / 32 / WARPS_ACROSS * WARP_ROWS + 16 * m;
}
__device__ inline int fragment_column() { return threadIdx.x / 32 % WARPS_ACROSS * WARP_COLUMNS; }

__device__ inline void show_copies() {}

template <bool LEFT_DEEP, bool RIGHT_DEEP>
__device__ inline void begin_slice(const bf16* left, const bf16* right, float* sum) {}

template <bool LEFT_DEEP, bool RIGHT_DEEP>
__device__ inline void end_slice(const bf16* left, const bf16* right, float* sum) {
#pragma unroll
    for (int depth = 0; depth < SLICE; depth += 16) {
        unsigned a[4 * M], b[2 * N];
        load_left<LEFT_DEEP>(a, left, fragment_row(0), depth);
        load_right<RIGHT_DEEP>(b, right, fragment_column(), depth);
        mma_bf16<M, N>(sum, a, b);
    }
}
