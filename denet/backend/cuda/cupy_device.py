"""A GPU, by CuPy."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from denet.backend.cuda import nvrtc
from denet.backend.cuda.compile import Compiler
from denet.backend.cuda.device import Grid
from denet.backend.cuda.found import LEAST_CAPABILITY, cuda_version, gpus, load_nccl, open_cupy
from denet.backend.cuda.source import Source
from denet.errors import OutOfMemoryError, UsageError
from denet.graph.kernel import Call, in_order
from denet.memory import bytes_text

OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


class CupyDevice:
    """GPU number ``index`` with one stream, so that all that is asked for runs in that order.

    But for ``send``, which has a stream of its own, and for the device ``beside`` it. It belongs to
    the thread that makes it, and ``stage`` to all. ``launch`` begins to compile at once and does
    not wait: the kernels of a plan are compiled side by side while it binds them, and loaded by the
    first call of each. Raises UsageError where the GPU cannot be used, OutOfMemoryError where
    other programs have filled it.
    """

    def __init__(self, index: int):
        cupy = open_cupy()
        found = gpus(cupy)
        if index >= len(found):
            known = f"a number from 0 to {len(found) - 1}" if len(found) > 1 else "0"
            raise UsageError(f"there is no such GPU: give {known}")
        gpu = found[index]
        if gpu.capability < LEAST_CAPABILITY:
            least = nvrtc.capability_text(LEAST_CAPABILITY)
            raise UsageError(f"{gpu}: {least} is needed: give another GPU")
        self.name, self.capability, self.processors = gpu.name, gpu.capability, gpu.processors
        compiler = nvrtc.load((cuda_version(cupy),))
        self.compiler = f"NVRTC {compiler.version}"
        self._compiler = Compiler(compiler, compiler.architecture(gpu.capability))
        self._cupy, self._index = cupy, index
        self.identity = gpu.identity
        self._runtime_error = cupy.cuda.runtime.CUDARuntimeError
        try:
            with self._memory_errors():
                cupy.cuda.Device(index).use()
                self._stream = cupy.cuda.Stream(non_blocking=True)
                self._sending = cupy.cuda.Stream(non_blocking=True)
                self._stream.use()
        except MemoryError:
            raise OutOfMemoryError(
                f"{gpu}: other programs have filled its memory: end them, or give another GPU"
            ) from None
        except self._runtime_error as error:
            raise UsageError(f"{gpu}: cannot be used ({error}): give another GPU") from None
        self._modules: dict[tuple[Any, ...], _Module] = {}
        self._copies: deque[tuple[Any, np.ndarray]] = deque()

    @property
    def stream(self) -> int:
        """The stream, as CUDA's libraries take one."""
        return self._stream.ptr

    def beside(self) -> CupyDevice:
        """Return the same GPU with another stream."""
        other = copy(self)
        other._stream, other._copies = self._cupy.cuda.Stream(non_blocking=True), deque()
        return other

    def nccl(self) -> Any:
        """Return NCCL. Raises CudaUnavailable."""
        return load_nccl(self._cupy)

    def allocate(self, nbytes: int) -> Any:
        """Return ``nbytes`` of zeroed memory, 256-byte aligned, as a uint8 array. MemoryError.

        It comes from the driver and goes back to it, which waits for whatever still uses it: no
        pool keeps it from other programs.
        """
        cuda = self._cupy.cuda
        with self._memory_errors(nbytes):
            start = cuda.MemoryPointer(cuda.Memory(nbytes), 0)
        memory = self._cupy.ndarray((nbytes,), np.uint8, start)
        self.clear(memory)
        return memory

    def write(self, host: np.ndarray, memory: Any) -> None:
        """Copy a host array to memory of its shape and type, before whatever is launched later."""
        assert host.shape == memory.shape and host.dtype == memory.dtype, (host.dtype, memory.dtype)
        assert memory.flags.c_contiguous
        if host.nbytes:
            self._copy(self.stage(host), memory, self._stream)

    def stage(self, host: np.ndarray) -> np.ndarray:
        """Return a copy in pinned memory; any thread may ask for one."""
        if not host.nbytes:
            return host.copy()
        # the thread's own; to set it back, as ``with`` does, would begin work on another GPU
        self._cupy.cuda.Device(self._index).use()
        staged = self._pinned(host.shape, host.dtype)
        staged[...] = host
        return staged

    def send(self, host: np.ndarray, memory: Any, idle: Any) -> Any:
        """Begin to copy what ``stage`` returned, beside what is launched; return its mark."""
        assert host.shape == memory.shape and host.dtype == memory.dtype, (host.dtype, memory.dtype)
        self._sending.wait_event(idle)
        return self._copy(host, memory, self._sending)

    def mark(self) -> Any:
        """Return the moment when all that was launched has run, as an event."""
        return self._stream.record()

    def follow(self, mark: Any) -> None:
        """Let whatever is launched later wait for a mark."""
        self._stream.wait_event(mark)

    def elapsed(self, first: Any, second: Any) -> float | None:
        """Return the seconds from a mark to a later one; None while that has not come."""
        if not second.done:
            return None
        return self._cupy.cuda.get_elapsed_time(first, second) / 1000

    def read(self, memory: Any) -> np.ndarray:
        """Return a host array with what memory holds once all that was launched has run."""
        assert memory.flags.c_contiguous
        if not memory.nbytes:
            return np.empty(memory.shape, memory.dtype)
        staged = self._pinned(memory.shape, memory.dtype)
        memory.data.copy_to_host_async(staged.ctypes.data, memory.nbytes, self._stream)
        self._stream.synchronize()
        return staged.copy()

    def read_later(self, memories: Sequence[Any]) -> Callable[[], list[np.ndarray]]:
        """Return a call that waits for all that was launched before, and returns host arrays."""
        copies = [self._pinned(memory.shape, memory.dtype) for memory in memories]
        for memory, staged in zip(memories, copies, strict=True):
            assert memory.flags.c_contiguous and memory.nbytes
            memory.data.copy_to_host_async(staged.ctypes.data, memory.nbytes, self._stream)
        copied = self._stream.record()

        def wait() -> list[np.ndarray]:
            copied.synchronize()
            return [staged.copy() for staged in copies]

        return wait

    def clear(self, memory: Any) -> None:
        """Fill memory with zeros, before whatever is launched later."""
        assert memory.flags.c_contiguous
        memory.data.memset_async(0, memory.nbytes, self._stream)

    def address(self, memory: Any) -> int:
        """Return where an array begins in the device's memory."""
        return memory.data.ptr

    def free_bytes(self) -> int:
        """Return how many bytes of memory no program has taken."""
        return self._cupy.cuda.runtime.memGetInfo()[0]

    def wait(self) -> None:
        """Return when all that was launched has run."""
        self._stream.synchronize()

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Make these calls, wait for the last; return the times between events around each.

        Where the GPU waits for the next launch, that counts too.
        """
        events = [self._stream.record()]
        for call in calls:
            call()
            events.append(self._stream.record())
        events[-1].synchronize()
        elapsed = self._cupy.cuda.get_elapsed_time
        return [elapsed(*each) / 1000 for each in pairwise(events)]

    def capture(self, calls: Sequence[Call]) -> Call:
        """Return a call that launches what these launch, every time the same, as one CUDA graph.

        The first time the calls are made one by one: what loads a kernel cannot be captured.
        """
        run, stream, loaded, graph = in_order(calls), self._stream, False, None

        def call() -> None:
            nonlocal loaded, graph
            if graph is not None:
                graph.launch(stream)
            elif loaded:
                stream.begin_capture()
                run()
                graph = stream.end_capture()
                graph.launch(stream)
            else:
                run()
                loaded = True

        return call

    def launch(
        self,
        source: Source,
        grid: Grid,
        threads: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> Call:
        """Begin to compile a kernel and bind it; return the call that runs it.

        The arrays stay the caller's, who keeps them as long as the call.
        """
        key = source.file, source.defines
        if key not in self._modules:
            self._modules[key] = _Module(self._cupy.cuda, self._compiler.submit(source))
        module, stream = self._modules[key], self._stream
        block, given = (threads, 1, 1), tuple(map(self._parameter, arguments))
        function = None

        def call() -> None:
            nonlocal function
            if function is None:
                function = module.function(source.name, shared)
            function(grid, block, given, shared, stream)

        return call

    def _parameter(self, argument: Any) -> np.generic:
        """Return what a function receives for an argument: its address, if it is an array."""
        if isinstance(argument, np.generic):
            return argument
        assert argument is None or argument.flags.c_contiguous
        return np.uint64(0 if argument is None else self.address(argument))

    def _copy(self, host: np.ndarray, memory: Any, stream: Any) -> Any:
        """Copy pinned memory in a stream; return the event behind the copy."""
        while self._copies and self._copies[0][0].done:
            self._copies.popleft()
        memory.data.copy_from_host_async(host.ctypes.data, host.nbytes, stream)
        copied = stream.record()
        # the pool would hand the pinned memory out again while it is still being read
        self._copies.append((copied, host))
        return copied

    def _pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return an array in pinned memory, which the device reads and writes by itself."""
        count = math.prod(shape)
        nbytes = count * dtype.itemsize
        with self._memory_errors(nbytes):
            memory = self._cupy.cuda.alloc_pinned_memory(nbytes)
        return np.frombuffer(memory, dtype, count).reshape(shape)

    @contextmanager
    def _memory_errors(self, nbytes: int = 0) -> Iterator[None]:
        """Raise MemoryError for what the driver calls cudaErrorMemoryAllocation."""
        try:
            yield
        except self._runtime_error as error:
            if error.status != OUT_OF_MEMORY:
                raise
            raise MemoryError(f"{bytes_text(nbytes)} on the GPU: {error}") from None


class _Module:
    """The functions of one compiled text, loaded when the first of them is called."""

    def __init__(self, cuda: Any, cubin: Future[bytes]):
        self._cuda, self._cubin = cuda, cubin
        self._functions: dict[str, Any] = {}
        self._shared: dict[str, int] = {}

    @cached_property
    def _loaded(self) -> Any:
        module = self._cuda.Module()
        module.load(self._cubin.result())
        return module

    def function(self, name: str, shared: int) -> Any:
        """Return a function that may be called with ``shared`` bytes of dynamic shared memory."""
        if name not in self._functions:
            self._functions[name] = self._loaded.get_function(name)
        function, driver = self._functions[name], self._cuda.driver
        if shared > self._shared.get(name, 0):
            attribute = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            driver.funcSetAttribute(function.ptr, attribute, shared)
            self._shared[name] = shared
        return function
