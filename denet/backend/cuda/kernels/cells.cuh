// Maps by cell: what of a map is whose. A thread has a few neighbouring channels of one cell;
// blockIdx.y counts samples, blockIdx.x the parts of a sample.
#include "port.cuh"

// elements that are read and written at once; they begin on a multiple of their size
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
    T element[count];
};

template <int count, class T>
__device__ inline Pack<T, count> load_pack(const T* p) {
    return *reinterpret_cast<const Pack<T, count>*>(p);
}

template <class T, int count>
__device__ inline void store_pack(T* p, const Pack<T, count>& pack) {
    *reinterpret_cast<Pack<T, count>*>(p) = pack;
}


struct Place {
    int row, column, channel;
    bool inside;  // the last threads of a sample have nothing to do
};

__device__ inline unsigned thread_of_sample() { return blockIdx.x * THREADS + threadIdx.x; }

// Where a thread works on maps of this size, `size` channels apiece.
__device__ inline Place place(int height, int width, int channels, int size) {
    const unsigned vectors = channels / size, index = thread_of_sample();
    const unsigned cell = index / vectors, row = cell / width;
    return {
        static_cast<int>(row),
        static_cast<int>(cell - row * width),
        static_cast<int>(index - cell * vectors) * size,
        row < static_cast<unsigned>(height),
    };
}

// The first element of a cell of this block's sample.
__device__ inline long long offset(int row, int column, int height, int width, int channels) {
    const long long rows = static_cast<long long>(blockIdx.y) * height + row;
    return (rows * width + column) * channels;
}
