// The threads of a block as fibers: who runs next, how they meet, and their shared memory.
#pragma once

extern "C" int snprintf(char*, size_t, const char*, ...) noexcept;
extern "C" void shim_switch(void** from, void* to) __attribute__((visibility("hidden")));
asm(R"(
    .text
    .type shim_switch, @function
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

namespace shim {

constexpr int MOST_THREADS = 1024, LANES = 32;
// bytes of a thread, as host_device.py allocates them; 9 lines of cache over a power of two, lest all
// stacks lie in the same few sets of the cache
constexpr size_t STACK = (64 << 10) + 9 * 64;
constexpr size_t STATIC_SHARED = 48 << 10;  // bytes that a block may have
constexpr size_t DYNAMIC_SHARED = 227 << 10;
constexpr int MOST_ARRAYS = 64;
constexpr size_t RED = 256;  // bytes of red zone around each array in shared memory
constexpr unsigned short RED_MARK = 0x7FA5;  // NaN as float and as bf16: what is read there shows
constexpr unsigned char UNWRITTEN = 0xFF;  // NaN in every type of float
constexpr unsigned long long STACK_MARK = 0x5AFE57AC5AFE57ACull;

enum Schedule { FORWARD, REVERSE, RANDOM };

struct Launch {  // host_device.py holds the same
    unsigned grid[3];
    int threads;
    int shared;    // bytes of dynamic shared memory
    int schedule;
    unsigned seed;
    int arguments_count;
    void** arguments;   // where each value lies
    const char* kinds;  // two letters for each: P8, i4, f4 ...
    char* stacks;
    int line;  // in the kernel's text, 0 where there is none
    char message[512];
};

struct Group {  // threads that meet: a block or a warp
    int first, count;  // its threads
    int alive, arrived;
    unsigned meetings;
    const char* what;  // those that have arrived wait for
    int line;
    void* brought[LANES];    // by each lane of a warp
    void (*finish)(void**);  // what the last to arrive does with it
};

struct Thread {
    uint3 index;
    int number;
    void* stack_pointer;
    const char* what;  // where it waits
    int line;
};

struct Site {  // one array in shared memory
    unsigned long long block;  // that has it now
    void* memory;
};

inline Launch* current;
inline void (*body)();  // the kernel with its arguments
inline Thread threads[MOST_THREADS];
inline Thread* self;
inline Group block, warps[MOST_THREADS / LANES];
inline void* main_stack;
inline unsigned long long ready[MOST_THREADS / 64];  // a bit per thread that can run
inline uint3 block_index;
inline unsigned long long blocks_begun;
inline unsigned long long random_state;
inline int favourite;
inline bool failed;

struct Zone {  // an array in shared memory, a red zone on each side
    unsigned char* begin;
    size_t bytes;
    int line;
};
inline Zone zones[MOST_ARRAYS];
inline int zones_count;
inline size_t shared_bytes, static_end;  // of arrays of fixed size
inline __align__(1024) unsigned char static_memory[STATIC_SHARED + MOST_ARRAYS * 3 * RED];
inline __align__(1024) unsigned char dynamic_memory[1024 + DYNAMIC_SHARED + RED];

inline unsigned long long next_random() {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Dull;
}

// ------------------------------------------------------------------------------------ fibers

// the first that can run from `start` on, upwards and around; -1 where there is none
inline int ready_from(int start) {
    const int words = (current->threads + 63) / 64;
    for (int step = 0; step <= words; step++) {
        const int word = (start / 64 + step) % words;
        unsigned long long bits = ready[word];
        if (step == 0) bits &= ~0ull << start % 64;
        if (bits) return word * 64 + __builtin_ctzll(bits);
    }
    return -1;
}

// the same downwards
inline int ready_before(int start) {
    const int words = (current->threads + 63) / 64;
    for (int step = 0; step <= words; step++) {
        const int word = (start / 64 - step + words) % words;
        unsigned long long bits = ready[word];
        if (step == 0) bits &= ~0ull >> (63 - start % 64);
        if (bits) return word * 64 + 63 - __builtin_clzll(bits);
    }
    return -1;
}

// One thread, or its warp, gets as far ahead of the others as it can: the first, the last, or one
// that is favoured for a while.
inline int next_thread() {
    if (current->schedule == FORWARD) return ready_from(0);
    if (current->schedule == REVERSE) return ready_before(current->threads - 1);
    if (next_random() % 16 == 0) favourite = next_random() % current->threads;
    return ready_from(favourite);
}

inline void to_main() {
    void*& from = self->stack_pointer;
    self = nullptr;
    shim_switch(&from, main_stack);
}

inline void run_another() {
    Thread* const before = self;
    const int next = next_thread();
    if (next < 0) return to_main();
    if (next == before->number) return;
    self = threads + next;
    shim_switch(&before->stack_pointer, self->stack_pointer);
}

inline void set_ready(int number, bool can_run) {
    const unsigned long long bit = 1ull << number % 64;
    ready[number / 64] = can_run ? ready[number / 64] | bit : ready[number / 64] & ~bit;
}

// ends the launch: the fibers are left where they stand
template <class... Values>
inline void fail(int line, const char* format, Values... values) {
    failed = true;
    current->line = line;
    const uint3 b = block_index;
    int used = snprintf(current->message, sizeof current->message, "block (%u, %u, %u)", b.x, b.y, b.z);
    if (self)
        used += snprintf(
            current->message + used, sizeof current->message - used, ", thread %d", self->number);
    used += snprintf(current->message + used, sizeof current->message - used, ": ");
    snprintf(current->message + used, sizeof current->message - used, format, values...);
    if (self) to_main();
}

// ---------------------------------------------------------------------------------- meetings

inline Group& warp() { return warps[self->number / LANES]; }
inline int lane() { return self->number % LANES; }

inline void release(Group& group) {
    if (group.finish) group.finish(group.brought);
    for (int i = group.first; i < group.first + group.count; i++)
        if (threads[i].what == group.what) {
            threads[i].what = nullptr;
            set_ready(i, true);
        }
    __builtin_memset(group.brought, 0, sizeof group.brought);
    group.arrived = 0;
    group.meetings++;
}

// returns once all threads of the group that have not ended are here
inline void meet(Group& group, const char* what, int line) {
    if (group.arrived && (group.what != what || group.line != line))
        fail(line, "at %s, while others wait at %s of line %d", what, group.what, group.line);
    group.what = self->what = what;
    group.line = self->line = line;
    set_ready(self->number, false);
    if (++group.arrived == group.alive) release(group);
    run_another();
}

inline void meet_warp(const char* what, int line, void* mine, void (*finish)(void**)) {
    warp().brought[lane()] = mine;
    warp().finish = finish;
    meet(warp(), what, line);
}

inline void leave(Group& group) {
    group.alive--;
    if (group.arrived && group.arrived == group.alive) release(group);
}

inline void thread_main() {
    body();
    leave(warp());
    leave(block);
    set_ready(self->number, false);
    run_another();
    __builtin_unreachable();
}

// ----------------------------------------------------------------------------- shared memory

// of a red zone; it depends on where the byte lies
inline unsigned char red_byte(const unsigned char* at) {
    return RED_MARK >> reinterpret_cast<size_t>(at) % 2 * 8;
}

inline void paint_red(unsigned char* zone) {
    for (unsigned char* at = zone; at < zone + RED; at++) *at = red_byte(at);
}

inline void place(unsigned char* begin, size_t bytes, int line) {
    paint_red(begin - RED);
    __builtin_memset(begin, UNWRITTEN, bytes);
    paint_red(begin + bytes);
    zones[zones_count++] = {begin, bytes, line};
}

// an array of the block, on a boundary of 16 bytes and no more: all that a kernel may count on
inline void* shared(Site& site, size_t bytes, int line) {
    if (site.block == blocks_begun) return site.memory;
    shared_bytes += bytes;
    if (shared_bytes > STATIC_SHARED || zones_count == MOST_ARRAYS)
        fail(line, "%zu bytes of shared memory are more than a block has", shared_bytes);
    // an odd multiple of 16 behind the red zones of the arrays that are there
    unsigned char* const begin = static_memory + (static_end + 2 * RED) / 32 * 32 + 16;
    static_end = begin + bytes - static_memory;
    place(begin, bytes, line);
    site = {blocks_begun, begin};
    return begin;
}

inline void check_zones() {
    for (int i = 0; i < zones_count && !failed; i++)
        for (size_t at = 0; at < RED; at++) {
            const Zone& zone = zones[i];
            const unsigned char* const behind = zone.begin + zone.bytes + at;
            const unsigned char* const before = zone.begin - 1 - at;
            if (*behind != red_byte(behind))
                return fail(
                    zone.line, "written from byte %zu behind an array of %zu bytes in shared memory",
                    at + 1, zone.bytes);
            if (*before != red_byte(before))
                return fail(
                    zone.line, "written from byte %zu before an array of %zu bytes in shared memory",
                    at + 1, zone.bytes);
        }
}

}  // namespace shim
