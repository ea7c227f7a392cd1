// What the threads of a block do together: barriers, votes, shuffles, matrices, asynchronous copies.
// Every lane of a warp brings the address of its operands; the last to arrive serves them all.
#pragma once

namespace shim {

// ------------------------------------------------------------------------ barriers and shuffles

struct Voice {  // a lane's part in a meeting
    unsigned mask;
    unsigned long long value;
    int source;  // whose value it gets
    unsigned long long result;
};

inline void meet_lanes(const char* what, int line, Voice& mine, void (*finish)(void**)) {
    if (mine.mask != ~0u) fail(line, "%s: the mask must name all lanes", what);
    meet_warp(what, line, &mine, finish);
}

inline void give_values(void** brought) {
    for (int lane = 0; lane < LANES; lane++)
        if (auto* mine = static_cast<Voice*>(brought[lane])) {
            const auto* other = static_cast<Voice*>(brought[mine->source]);
            mine->result = other ? other->value : ~0ull;  // undefined of a lane that has ended
        }
}

inline void give_ballot(void** brought) {
    unsigned long long bits = 0;
    for (int lane = 0; lane < LANES; lane++)
        if (brought[lane] && static_cast<Voice*>(brought[lane])->value) bits |= 1ull << lane;
    for (int lane = 0; lane < LANES; lane++)
        if (brought[lane]) static_cast<Voice*>(brought[lane])->result = bits;
}

template <class T>
inline T shuffle(const char* what, int line, unsigned mask, T value, int source) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 4 or 8 bytes");
    Voice voice = {mask, 0, source, 0};
    __builtin_memcpy(&voice.value, &value, sizeof value);
    meet_lanes(what, line, voice, give_values);
    T result;
    __builtin_memcpy(&result, &voice.result, sizeof result);
    return result;
}

inline unsigned ballot(const char* what, int line, unsigned mask, bool predicate) {
    Voice voice = {mask, predicate, 0, 0};
    meet_lanes(what, line, voice, give_ballot);
    return voice.result;
}

// a vote is counted while the barrier fills; the next barrier counts in the other place
inline int votes[2];
inline int vote(const char* what, int line, bool predicate) {
    int& count = votes[block.meetings % 2];
    if (!block.arrived) count = 0;
    count += predicate;
    meet(block, what, line);
    return count;
}

}  // namespace shim

inline void __syncthreads(int line = __builtin_LINE()) {
    shim::meet(shim::block, "__syncthreads", line);
}
inline int __syncthreads_count(int predicate, int line = __builtin_LINE()) {
    return shim::vote("__syncthreads_count", line, predicate);
}
inline int __syncthreads_or(int predicate, int line = __builtin_LINE()) {
    return shim::vote("__syncthreads_or", line, predicate) != 0;
}
inline int __syncthreads_and(int predicate, int line = __builtin_LINE()) {
    return shim::vote("__syncthreads_and", line, !predicate) == 0;
}
inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) {
    shim::ballot("__syncwarp", line, mask, false);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return shim::ballot("__ballot_sync", line, mask, predicate);
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return shim::ballot("__any_sync", line, mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return shim::ballot("__all_sync", line, mask, !predicate) == 0;
}
template <class T>
inline T __shfl_sync(
    unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
    const int first = shim::lane() & ~(width - 1);
    return shim::shuffle("__shfl_sync", line, mask, value, first | (source & (width - 1)));
}
template <class T>
inline T __shfl_up_sync(
    unsigned mask, T value, unsigned by, int width = 32, int line = __builtin_LINE()) {
    const int lane = shim::lane(), source = lane - static_cast<int>(by);
    const bool inside = source >= (lane & ~(width - 1));
    return shim::shuffle("__shfl_up_sync", line, mask, value, inside ? source : lane);
}
template <class T>
inline T __shfl_down_sync(
    unsigned mask, T value, unsigned by, int width = 32, int line = __builtin_LINE()) {
    const int lane = shim::lane(), source = lane + static_cast<int>(by);
    const bool inside = source <= (lane | (width - 1));
    return shim::shuffle("__shfl_down_sync", line, mask, value, inside ? source : lane);
}
template <class T>
inline T __shfl_xor_sync(
    unsigned mask, T value, int with, int width = 32, int line = __builtin_LINE()) {
    const int lane = shim::lane(), source = lane ^ with;
    const bool inside = source <= (lane | (width - 1));
    return shim::shuffle("__shfl_xor_sync", line, mask, value, inside ? source : lane);
}
inline void __trap(int line = __builtin_LINE()) { shim::fail(line, "__trap"); }
