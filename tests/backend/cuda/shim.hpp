// Runs the text of CUDA kernels on the processor: one fiber per CUDA thread, block after block.
// A fiber runs until it waits for others; who runs next is the schedule's choice. So a barrier
// that is missing shows as results that differ between schedules, one too many as a deadlock.
#pragma once
#undef _GNU_SOURCE  // with it signal.h declares names that kernels may have, such as link
#define _XOPEN_SOURCE 700
#include <signal.h>

#include "shim_language.hpp"
#include "shim_block.hpp"
#include "shim_warp.hpp"
#include "shim_ptx.hpp"
#include "shim_wgmma.hpp"

namespace shim {

inline void begin_block(unsigned long long number) {
    const unsigned* grid = current->grid;
    block_index = {
        (unsigned)(number % grid[0]), (unsigned)(number / grid[0] % grid[1]),
        (unsigned)(number / grid[0] / grid[1])};
    blocks_begun++;
    zones_count = 0;
    shared_bytes = static_end = 0;
    if (current->shared) place(dynamic_memory + 1024, current->shared, 0);
    __builtin_memset(unfenced, 0, (1024 + current->shared + 15) / 16 * sizeof unfenced[0]);
    const int count = current->threads;
    favourite = next_random() % count;
    block = {0, count, count};
    for (int first = 0; first < count; first += LANES) {
        const int lanes = count - first < LANES ? count - first : LANES;
        warps[first / LANES] = {first, lanes, lanes};
    }
    for (int i = 0; i < count; i++) {
        auto* stack = reinterpret_cast<unsigned long long*>(current->stacks + i * STACK);
        stack[0] = STACK_MARK;
        void** top = reinterpret_cast<void**>(current->stacks + (i + 1) * STACK - 64);
        top[0] = reinterpret_cast<void*>(&thread_main);  // where the first switch returns to
        top[1] = nullptr;
        threads[i] = {{(unsigned)i, 0, 0}, i, top - 6, nullptr, 0};
        set_ready(i, true);
    }
}

inline void tell_deadlock() {
    const Thread *one = nullptr, *other = nullptr;
    for (int i = 0; i < current->threads && !other; i++) {
        if (!threads[i].what) continue;
        if (!one) one = threads + i;
        else if (threads[i].what != one->what || threads[i].line != one->line) other = threads + i;
    }
    if (other)
        fail(one->line, "thread %d waits at %s, thread %d at %s of line %d", one->number, one->what,
             other->number, other->what, other->line);
}

inline void check_stacks() {
    for (int i = 0; i < current->threads; i++)
        if (*reinterpret_cast<unsigned long long*>(current->stacks + i * STACK) != STACK_MARK)
            return fail(0, "thread %d has more on its stack than %zu bytes", i, STACK);
}

inline void run_block(unsigned long long number) {
    begin_block(number);
    self = threads + next_thread();
    shim_switch(&main_stack, self->stack_pointer);
    if (!failed) tell_deadlock();
    if (!failed) check_stacks();
    if (!failed) check_zones();
}

constexpr int FAULTS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
inline unsigned char signal_stack[32 << 10];

inline void on_fault(int number) {
    if (!self) signal(number, SIG_DFL);  // no kernel's fault
    else fail(0, "read or wrote where no memory is, or worse (signal %d)", number);
}

struct FaultsCaught {  // while it lives
    stack_t stack;
    struct sigaction actions[sizeof FAULTS / sizeof FAULTS[0]];

    FaultsCaught() {
        stack_t other = {};
        other.ss_sp = signal_stack;
        other.ss_size = sizeof signal_stack;
        sigaltstack(&other, &stack);
        struct sigaction action = {};
        action.sa_handler = on_fault;
        action.sa_flags = SA_ONSTACK | SA_NODEFER;  // the handler never returns
        for (int i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++)
            sigaction(FAULTS[i], &action, &actions[i]);
    }
    ~FaultsCaught() {
        for (int i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++)
            sigaction(FAULTS[i], &actions[i], nullptr);
        sigaltstack(&stack, nullptr);
    }
};

inline bool run(Launch& launch) {
    FaultsCaught caught;
    current = &launch;
    failed = false;
    random_state = (launch.seed + 1ull) * 0x9E3779B97F4A7C15ull;
    self = nullptr;
    __builtin_memset(ready, 0, sizeof ready);
    const unsigned long long count = (unsigned long long)launch.grid[0] * launch.grid[1] * launch.grid[2];
    if (launch.schedule == FORWARD)
        for (unsigned long long i = 0; i < count && !failed; i++) run_block(i);
    if (launch.schedule == REVERSE)
        for (unsigned long long i = count; i-- > 0 && !failed;) run_block(i);
    if (launch.schedule == RANDOM) {  // x -> 5 x + odd visits every number below a power of two
        unsigned long long power = 1;
        while (power < count) power *= 2;
        const unsigned long long odd = next_random() | 1u;
        for (unsigned long long i = 0, at = next_random(); i < power && !failed; i++) {
            at = (5 * at + odd) % power;
            if (at < count) run_block(at);
        }
    }
    return !failed;
}

template <class T>
struct Kind {
    static constexpr bool real = T(1) / 2 != T(0), negative = T(-1) < T(0);
    static constexpr char letters[2] = {real ? 'f' : negative ? 'i' : 'u', char('0' + sizeof(T))};
};
template <class T>
struct Kind<T*> {
    static constexpr char letters[2] = {'P', '8'};
};

template <size_t... numbers>
struct Numbers {};

template <class... Parameters>
struct Kernel {
    static inline void (*function)(Parameters...);

    template <size_t... numbers>
    static void call(Numbers<numbers...>) {
        function(*static_cast<Parameters*>(current->arguments[numbers])...);
    }
    static void call() { call(Numbers<__integer_pack(sizeof...(Parameters))...>()); }
};

template <class... Parameters>
bool launch(Launch& launch, void (*function)(Parameters...)) {
    constexpr int count = sizeof...(Parameters);
    const char* const wanted[] = {Kind<Parameters>::letters..., nullptr};
    launch.line = 0;
    if (launch.arguments_count != count) {
        snprintf(launch.message, sizeof launch.message, "takes %d arguments, got %d", count,
                 launch.arguments_count);
        return false;
    }
    for (int i = 0; i < count; i++)
        if (__builtin_memcmp(wanted[i], launch.kinds + 2 * i, 2)) {
            snprintf(launch.message, sizeof launch.message, "argument %d is %.2s, got %.2s", i,
                     wanted[i], launch.kinds + 2 * i);
            return false;
        }
    Kernel<Parameters...>::function = function;
    body = &Kernel<Parameters...>::call;
    return run(launch);
}

}  // namespace shim

// g++'s checks (-fsanitize) call these; the device would fault, or compute something else
struct ShimLocation {
    const char* file;
    unsigned line, column;
};
#define SHIM_CHECK(name, message)                                                               \
    extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_##name##_abort(        \
        const ShimLocation* at, ...) {                                                          \
        shim::fail(at->line, message);                                                          \
    }
SHIM_CHECK(type_mismatch_v1, "the address is no multiple of what its type asks for")
SHIM_CHECK(out_of_bounds, "the index lies outside the array")
SHIM_CHECK(shift_out_of_bounds, "shifted by more bits than there are")
SHIM_CHECK(divrem_overflow, "divided by zero")

#define threadIdx (shim::self->index)
#define blockIdx (shim::block_index)
#define blockDim (uint3{(unsigned)shim::current->threads, 1, 1})
#define gridDim (uint3{shim::current->grid[0], shim::current->grid[1], shim::current->grid[2]})

#define SHARED(type, name, count)     \
    static shim::Site name##_site;    \
    type(&name)[count] = *static_cast<type(*)[count]>( \
        shim::shared(name##_site, sizeof(type) * (count), __LINE__))
#define DYNAMIC_SHARED(name) unsigned char* const name = shim::dynamic_memory + 1024

// behind the text, one for each of its kernels: what host_device.py calls
#define SHIM_ENTRY(name)                                                                        \
    extern "C" __attribute__((visibility("default"))) int launch_##name(shim::Launch& launch) { \
        return shim::launch(launch, name);                                                      \
    }
