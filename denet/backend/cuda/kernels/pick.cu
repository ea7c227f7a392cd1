// Batches of images that lie on the device as bytes. A thread writes one number.

// Row i of `moves` (image, down, right, mirrored) makes image i of `numbers` (count in all): mirrored
// left to right first, then offset, zeros moving in; level * scale + shift by element of a row,
// rounded twice as the host does.
extern "C" __global__ void __launch_bounds__(THREADS)
pick_levels(
    const unsigned char* images, const int* moves, const float* scale, const float* shift,
    float* numbers, int height, int width, int channels, long long count) {
    const long long i = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    const int row_size = width * channels;
    const long long line = i / row_size;  // of all images
    const int place = static_cast<int>(i - line * row_size);
    const int sample = static_cast<int>(line / height);
    const int* move = moves + 4LL * sample;
    const int row = static_cast<int>(line - static_cast<long long>(sample) * height) - move[1];
    const int cell = place / channels;
    int column = cell - move[2];
    float level = 0.f;
    if (row >= 0 && row < height && column >= 0 && column < width) {
        if (move[3]) column = width - 1 - column;
        const long long first = (static_cast<long long>(move[0]) * height + row) * width + column;
        level = images[first * channels + place - cell * channels];
    }
    numbers[i] = __fadd_rn(__fmul_rn(level, scale[place]), shift[place]);
}
