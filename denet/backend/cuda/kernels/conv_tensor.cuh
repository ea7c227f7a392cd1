// A product of matrices on tensor cores, bf16 with float32 sums: what the products of
// conv_tensor.cu and conv_tensor_weight.cu share. A block computes TILE_ROWS x TILE_COLUMNS
// results. Slices of the depth come by asynchronous copies into a ring of STAGES in shared memory,
// while earlier ones are multiplied: by warpgroups if WARPGROUPS, else by warps. Either way a warp
// has WARP_ROWS x WARP_COLUMNS results, in fragments of 16 rows. A processor holds RESIDENT blocks.
#include "port.cuh"
#include "conv.cuh"
#include "lanes.cuh"

constexpr int CHUNK = 8;  // elements of 16 bytes: what one copy moves
constexpr int M = WARP_ROWS / 16, N = WARP_COLUMNS / 8;  // tiles of 16 x 8 in the results of a warp

#if WARPGROUPS
#include "conv_wgmma.cuh"
#else
#include "conv_mma.cuh"
#endif

constexpr int LEFT = TILE_ROWS * SLICE, RIGHT = TILE_COLUMNS * SLICE;  // elements of a stage
static_assert(WARP_COLUMNS * WARPS_ACROSS == TILE_COLUMNS, "warps cover the columns");
static_assert(THREADS == TILE_ROWS / WARP_ROWS * WARPS_ACROSS * 32, "a thread for each lane");

__device__ inline int up_to_chunk(int channels) { return (channels + CHUNK - 1) / CHUNK * CHUNK; }

// Row `row` of a map or of weights, whose rows lie `pitch` elements apart. That is one instruction,
// since what is read has no negative number: the address of another row is wrong, and not read.
__device__ inline const bf16* row_of(const bf16* p, int row, int pitch) {
    const unsigned long long bytes = static_cast<unsigned>(pitch) * 2u;
    return reinterpret_cast<const bf16*>(
        reinterpret_cast<const char*>(p) + static_cast<unsigned>(row) * bytes);
}

// How the chunks of a matrix are dealt to the threads: always one chunk of a line, of every
// ``apart``-th line. Chunks are exchanged alike in every 8 lines, so that what a thread copies lies
// in equal distances.
template <int length, int lines>
struct Deal {
    static constexpr int chunks = length / CHUNK, apart = THREADS / chunks, count = lines / apart;
    static_assert(THREADS % chunks == 0 && lines % apart == 0, "equal shares");
    static_assert(apart % 8 == 0, "equal distances");

    __device__ static int chunk() { return threadIdx.x % chunks; }
    __device__ static int first_line() { return threadIdx.x / chunks; }
    __device__ static void copy(bf16* matrix, int i, const bf16* from, bool inside) {
        bf16* const first = matrix + place<length, lines>(first_line(), chunk());
        cp_async<16>(first + place<length, lines>(apart * i, 0), from, inside ? 16 : 0);
    }
};

// sum += left right. A Source begins the copies of its next slice and moves on.
template <bool LEFT_DEEP, bool RIGHT_DEEP, class Source>
__device__ inline void product(Source& source, int slices, bf16* stages, float* sum) {
    for (int i = 0; i < STAGES - 1; i++) {
        bf16* const stage = stages + i * (LEFT + RIGHT);
        if (i < slices) source.next(stage, stage + LEFT);
        cp_async_commit();
    }
    for (int slice = 0; slice < slices; slice++) {
        cp_async_wait<STAGES - 2>();
        show_copies();
        __syncthreads();  // the slice is there, and nobody reads the one before any more
        const bf16* const left = stages + slice % STAGES * (LEFT + RIGHT);
        begin_slice<LEFT_DEEP, RIGHT_DEEP>(left, left + LEFT, sum);
        const int later = slice + STAGES - 1;
        bf16* const stage = stages + later % STAGES * (LEFT + RIGHT);
        if (later < slices) source.next(stage, stage + LEFT);
        cp_async_commit();
        end_slice<LEFT_DEEP, RIGHT_DEEP>(left, left + LEFT, sum);
    }
    __syncthreads();
}

// Passes the sums through shared memory, so that a thread holds 8 columns of a row:
// write(row of the block's tile, column, values).
constexpr int SLAB_PITCH = WARP_COLUMNS + 8;  // 16 rows per warp
static_assert(THREADS / 32 * 16 * SLAB_PITCH * 4 <= STAGES * (LEFT + RIGHT) * 2, "they fit");

template <class Write>
__device__ inline void store_tile(const float* sum, void* stages, Write& write) {
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
            write(fragment_row(m) + row, fragment_column() + column,
                slab + row * SLAB_PITCH + column);
        }
        __syncwarp();
    }
}

// What the threads of a block hold in store_tile: always the same columns, and rows in lanes.
__device__ inline Lanes lanes_of_tile() {
    constexpr int chunks = WARP_COLUMNS / CHUNK, rows = 32 / chunks;
    static_assert(32 % chunks == 0, "the same columns in every turn");
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return {TILE_COLUMNS / CHUNK, THREADS / (TILE_COLUMNS / CHUNK),
        fragment_column() / CHUNK + lane % chunks, warp / WARPS_ACROSS * rows + lane / chunks};
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
