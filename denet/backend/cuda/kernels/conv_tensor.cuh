// A product of matrices on tensor cores, bf16 with float32 sums: what the products of
// conv_tensor.cu and conv_tensor_weight.cu share. A block computes TILE_ROWS x TILE_COLUMNS results,
// a warp WARP_ROWS x WARP_COLUMNS of them. Slices of 32 steps of depth come by asynchronous copies
// into a ring of stages in shared memory, while earlier ones are multiplied.
#include "port.cuh"
#include "conv.cuh"

constexpr int SLICE = 32;
constexpr int CHUNK = 8;  // elements of 16 bytes: what one copy moves
constexpr int STAGES = TILE_ROWS + TILE_COLUMNS > 192 ? 3 : 4;  // 48 KiB at most
constexpr int LEFT = TILE_ROWS * SLICE, RIGHT = TILE_COLUMNS * SLICE;  // elements of a stage
constexpr int WARPS_ACROSS = TILE_COLUMNS / WARP_COLUMNS;
constexpr int M = WARP_ROWS / 16, N = WARP_COLUMNS / 8;  // tiles of one mma in those of a warp
constexpr int RESIDENT = 512 / THREADS;  // blocks of a processor: 128 registers a thread
static_assert(THREADS == TILE_ROWS / WARP_ROWS * WARPS_ACROSS * 32, "a thread for each lane");
static_assert(N % 2 == 0, "columns are loaded by two tiles");

__device__ inline int up_to_chunk(int channels) { return (channels + CHUNK - 1) / CHUNK * CHUNK; }

// A matrix of a stage lies in lines, its chunks exchanged so that the 8 lines which ldmatrix reads
// at once lie in different banks. Either a line is a row (or column) of the product and runs along
// the depth, DEEP, or it is a step of depth and runs along the rows.
template <int length>
__device__ inline int place(int line, int chunk) {
    return line * length + (chunk ^ (length == 32 ? line >> 1 & 3 : line & 7)) * CHUNK;
}

// How the chunks of a matrix are dealt to the threads: always one chunk of a line, of some lines.
template <int length, int lines>
struct Deal {
    static constexpr int chunks = length / CHUNK, apart = THREADS / chunks, count = lines / apart;
    static_assert(THREADS % chunks == 0 && lines % apart == 0, "equal shares");

    __device__ static int chunk() { return threadIdx.x % chunks; }
    __device__ static int line(int i) { return threadIdx.x / chunks + apart * i; }
    __device__ static void copy(bf16* matrix, int i, const bf16* from, bool inside) {
        cp_async<16>(matrix + place<length>(line(i), chunk()), from, inside ? 16 : 0);
    }
};

template <bool DEEP>
__device__ inline void load_left(unsigned* a, const bf16* left, int row, int depth) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++) {
        if (DEEP) {
            const int line = row + 16 * m + lane % 16, chunk = depth / CHUNK + lane / 16;
            ldmatrix<4>(a + 4 * m, left + place<SLICE>(line, chunk));
        } else {
            const int line = depth + lane / 16 * 8 + lane % 8;
            const int chunk = row / CHUNK + 2 * m + lane / 8 % 2;
            ldmatrix_trans<4>(a + 4 * m, left + place<TILE_ROWS>(line, chunk));
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
            ldmatrix<4>(b + 2 * n, right + place<SLICE>(line, chunk));
        } else {
            const int line = depth + lane % 16, chunk = column / CHUNK + n + lane / 16;
            ldmatrix_trans<4>(b + 2 * n, right + place<TILE_COLUMNS>(line, chunk));
        }
    }
}

// Where the tile of this warp begins in that of the block.
__device__ inline int warp_row() { return threadIdx.x / 32 / WARPS_ACROSS * WARP_ROWS; }
__device__ inline int warp_column() { return threadIdx.x / 32 % WARPS_ACROSS * WARP_COLUMNS; }

// sum += left right. A Source begins the copies of its next slice and moves on.
template <bool LEFT_DEEP, bool RIGHT_DEEP, class Source>
__device__ inline void product(Source& source, int slices, bf16* stages, float* sum) {
    const int row = warp_row(), column = warp_column();
    for (int i = 0; i < STAGES - 1; i++) {
        bf16* const stage = stages + i * (LEFT + RIGHT);
        if (i < slices) source.next(stage, stage + LEFT);
        cp_async_commit();
    }
    for (int slice = 0; slice < slices; slice++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();  // the slice is there, and nobody reads the one before any more
        const int later = slice + STAGES - 1;
        bf16* const stage = stages + later % STAGES * (LEFT + RIGHT);
        if (later < slices) source.next(stage, stage + LEFT);
        cp_async_commit();
        const bf16* const left = stages + slice % STAGES * (LEFT + RIGHT);
        const bf16* const right = left + LEFT;
#pragma unroll
        for (int depth = 0; depth < SLICE; depth += 16) {
            unsigned a[4 * M], b[2 * N];
            load_left<LEFT_DEEP>(a, left, row, depth);
            load_right<RIGHT_DEEP>(b, right, column, depth);
            mma_bf16<M, N>(sum, a, b);
        }
    }
    cp_async_wait<0>();
    __syncthreads();
}

// Passes the sums through shared memory, so that a thread holds 8 columns of a row:
// write(row of the block's tile, column, values).
constexpr int SLAB_PITCH = WARP_COLUMNS + 8;  // 16 rows per warp
static_assert(THREADS / 32 * 16 * SLAB_PITCH * 4 <= STAGES * (LEFT + RIGHT) * 2, "they fit");

template <class Write>
__device__ inline void store_tile(const float* sum, void* stages, const Write& write) {
    const int lane = threadIdx.x % 32;
    float* const slab = static_cast<float*>(stages) + threadIdx.x / 32 * 16 * SLAB_PITCH;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float* const pair = sum + (m * N + n) * 4 + half * 2;
                float* const to =
                    slab + (lane / 4 + 8 * half) * SLAB_PITCH + 8 * n + lane % 4 * 2;
                *reinterpret_cast<float2*>(to) = make_float2(pair[0], pair[1]);
            }
        __syncwarp();
        for (int i = lane; i < 16 * WARP_COLUMNS / CHUNK; i += 32) {
            const int row = i / (WARP_COLUMNS / CHUNK), column = i % (WARP_COLUMNS / CHUNK) * CHUNK;
            write(warp_row() + 16 * m + row, warp_column() + column,
                slab + row * SLAB_PITCH + column);
        }
        __syncwarp();
    }
}

// 8 elements; p on a boundary of 16 bytes
template <class T>
__device__ inline void load_chunk(const T* p, float* values) {
    for (int i = 0; i < CHUNK; i += Vector<T>::size) {
        const Vector<T> vector = load_vector(p + i);
        for (int j = 0; j < Vector<T>::size; j++) values[i + j] = vector.value[j];
    }
}

template <class T>
__device__ inline void store_chunk(T* p, const float* values) {
    for (int i = 0; i < CHUNK; i += Vector<T>::size) {
        Vector<T> vector;
        for (int j = 0; j < Vector<T>::size; j++) vector.value[j] = values[i + j];
        store_vector(p + i, vector);
    }
}
