// Mean and biased variance of the channels of x (rows, channels) from those of parts of `height`
// rows (statistics.cuh), the last of which may have fewer. A thread has one channel of every
// `lanes`-th part, so that the order of sums is always the same.
#include "port.cuh"
#include "statistics.cuh"

constexpr int MERGED = 8;  // channels of a block

// What a part's mean is above `origin`.
__device__ inline float above(const real* x, const float* means, int channels, int height,
    int part, int channel, float origin) {
    const long long first_row = static_cast<long long>(part) * height;
    const float first = load(x + first_row * channels + channel);
    return first - origin + means[static_cast<long long>(part) * channels + channel];
}

// Block (channels, larger part) joins `together` parts to a larger one; where it is `whole`, it is
// told by its mean and variance.
extern "C" __global__ void __launch_bounds__(THREADS)
join_statistics(const real* x, const float* means, const float* squares, float* larger_means,
    float* larger_squares, int rows, int channels, int height, int parts, int together,
    int whole) {
    SHARED(float, room, THREADS);
    const Lanes at = lanes_of(MERGED);
    const int channel = blockIdx.x * MERGED + at.column;
    const int first = blockIdx.y * together, last = min(parts, first + together);
    const int end = channel < channels ? last : first;
    const float origin = channel < channels
        ? load(x + static_cast<long long>(first) * height * channels + channel) : 0.f;
    float weighted[1] = {}, square[1] = {};
    for (int part = first + at.lane; part < end; part += at.lanes) {
        const float count = min(height, rows - part * height);
        weighted[0] += count * above(x, means, channels, height, part, channel, origin);
    }
    sum_over_lanes(weighted, room, at);
    const float all = (last == parts ? rows : last * height) - first * height;
    const float middle = weighted[0] / all;
    for (int part = first + at.lane; part < end; part += at.lanes) {
        const float count = min(height, rows - part * height);
        const float away = above(x, means, channels, height, part, channel, origin) - middle;
        square[0] += squares[static_cast<long long>(part) * channels + channel] +
            count * away * away;
    }
    sum_over_lanes(square, room, at);
    if (at.lane || channel >= channels) return;
    const long long place = static_cast<long long>(blockIdx.y) * channels + channel;
    larger_means[place] = whole ? origin + middle : middle;
    larger_squares[place] = whole ? square[0] / rows : square[0];
}
