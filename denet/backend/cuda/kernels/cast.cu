// y = share * x, numbers of one type from those of another, SIZE per thread.
#include "cells.cuh"

extern "C" __global__ void __launch_bounds__(THREADS)
cast(const FROM* x, TO* y, float share, long long count) {
    const long long first = (static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x) * SIZE;
    if (first + SIZE <= count) {
        const Pack<FROM, SIZE> read = load_pack<SIZE>(x + first);
        Pack<TO, SIZE> written;
        for (int i = 0; i < SIZE; i++) store(written.element + i, share * load(read.element + i));
        store_pack(y + first, written);
        return;
    }
    for (long long i = first; i < count; i++) store(y + i, share * load(x + i));
}
