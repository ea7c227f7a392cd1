"""A device that is the processor: kernels compiled by g++ behind shim.hpp."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
from backend.cuda.clock import Clock
from backend.cuda.device_array import ArrayMemory, DeviceArray

from denet.backend.cuda.device import Grid
from denet.backend.cuda.source import Source
from denet.graph.kernel import Call, in_order
from denet.memory import available_bytes

FOLDER = Path(__file__).parent
FLAGS = (  # -O2 runs arithmetic twice as fast, and takes 1.6 times as long to compile
    *("-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-w"),
    *("-fsanitize=alignment,bounds,shift-exponent,integer-divide-by-zero", "-fno-sanitize-recover"),
    *("-fPIC", "-fvisibility=hidden"),
)
SCHEDULES = ("forward", "reverse", "random")
MOST_THREADS = 1024
STACK = (64 << 10) + 9 * 64  # bytes of one thread: STACK in shim.hpp
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^;{]*?\)\s+)?(\w+)\('
)
_LOCK = threading.Lock()  # a library's threads are global variables of it


class KernelError(Exception):
    """A kernel does not compile, or its launch fails."""


def unavailable() -> str | None:
    """Return why kernels cannot run here, None where they can."""
    if platform.machine() != "x86_64":
        return f"kernels run on x86-64 processors: this is {platform.machine()}"
    if not shutil.which("g++"):
        return "kernels run on the processor by g++: it is not installed"
    return None


class _Launch(ctypes.Structure):
    """Launch of shim.hpp."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("threads", ctypes.c_int),
        ("shared", ctypes.c_int),
        ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("arguments_count", ctypes.c_int),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("kinds", ctypes.c_char_p),
        ("stacks", ctypes.c_void_p),
        ("line", ctypes.c_int),
        ("message", ctypes.c_char * 512),
    )


class HostDevice(ArrayMemory, Clock):
    """Runs kernels block after block, the threads of a block in turn, as ``schedule`` says."""

    def __init__(self, schedule: str = "forward", seed: int = 0, capability: int = 90):
        reason = unavailable()
        if reason:
            raise KernelError(reason)
        super().__init__()
        self.name, self.compiler = "a processor in the place of a GPU", "g++"
        self.capability = capability
        self.processors = 4
        self._schedule = SCHEDULES.index(schedule)
        self._seed = seed

    def free_bytes(self) -> int:
        """Return what the host has left."""
        return available_bytes() or 0

    def wait(self) -> None:
        """Every launch has run when it returns."""

    def capture(self, calls: Sequence[Call]) -> Call:
        """Return a call that makes these."""
        return in_order(calls)

    def launch(
        self,
        source: Source,
        grid: Grid,
        threads: int,
        arguments: Sequence[Any],
        shared: int = 0,
    ) -> Call:
        """Compile and bind a kernel; the call raises KernelError."""
        text = source.text
        if not (grid[0] > 0 and 0 < grid[1] < 65536 and 0 < grid[2] < 65536):
            raise KernelError(f"{source.name}: no grid of blocks: {grid}")
        if not 0 < threads <= MOST_THREADS:
            raise KernelError(f"{source.name}: no number of threads of a block: {threads}")
        if not 0 <= shared <= 227 << 10:
            raise KernelError(f"{source.name}: no size of dynamic shared memory: {shared}")
        library = _library(source.file, text)
        try:
            function = library[f"launch_{source.name}"]
        except AttributeError:
            raise KernelError(f"{source.file}: no kernel is named {source.name}") from None
        values = [_value(argument) for argument in arguments]
        # as a GPU's, whose calls know addresses: the arrays are kept by whoever makes the call
        memories = [ref(each.data.mem) for each in arguments if isinstance(each, DeviceArray)]
        launch = _Launch(
            (ctypes.c_uint * 3)(*grid),
            threads,
            shared,
            self._schedule,
            self._seed,
            len(values),
            (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values)),
            "".join(_kind(*pair) for pair in zip(arguments, values, strict=True)).encode(),
            _stacks().ctypes.data,
        )
        launch.values = values  # which it points to

        def call() -> None:
            if any(memory() is None for memory in memories):
                raise KernelError(f"{source.name}: memory of an argument has been given back")
            with _LOCK:
                done = function(ctypes.byref(launch))
            if not done:
                raise KernelError(_complaint(source, text, launch))
            self.spend(grid, threads)

        return call


def _value(argument: Any) -> np.ndarray:
    """Return what the function gets for an argument, as an array of one element."""
    if argument is None:
        return np.zeros(1, np.uint64)
    if isinstance(argument, DeviceArray):
        assert argument.flags.c_contiguous, "a kernel takes arrays without gaps"
        return np.array([argument.data.ptr], np.uint64)
    assert isinstance(argument, np.generic), (
        f"a kernel takes memory of the device and NumPy scalars: {argument!r}"
    )
    return np.array([argument])


def _kind(argument: Any, value: np.ndarray) -> str:
    """Return the type of an argument: P8 a pointer, i4 an int, u8, f4."""
    if argument is None or isinstance(argument, DeviceArray):
        return "P8"
    return f"{value.dtype.kind}{value.itemsize}"


def _complaint(source: Source, text: str, launch: _Launch) -> str:
    message = f"{source.file}: {source.name}: {launch.message.decode()}"
    if launch.line:
        message += f": line {launch.line}: {text.splitlines()[launch.line - 1].strip()}"
    return message


@cache
def _stacks() -> np.ndarray:
    """Return memory for the stacks of a block; pages that no thread touches are never there."""
    memory = mmap.mmap(-1, (1 + MOST_THREADS) * STACK)  # below them is room for one that overflows
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    array = np.frombuffer(memory, np.uint8)
    return array[STACK:]


@cache
def _library(file: str, text: str) -> ctypes.CDLL:
    """Return the compiled text, from the cache where it is there."""
    shim = "".join(path.read_text() for path in sorted(FOLDER.glob("*.hpp")))
    key = hashlib.sha256("\0".join([text, shim, *FLAGS]).encode()).hexdigest()[:24]
    folder = _cache()
    built = folder / f"{Path(file).stem}-{key}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as name:
            _compile(file, text, Path(name))
            os.replace(Path(name) / "kernel.so", built)
    return ctypes.CDLL(str(built))


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or f"{tempfile.gettempdir()}/cache-{os.getuid()}"
    folder = Path(root) / "denet-host-kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise KernelError(f"{folder}: belongs to another user: set XDG_CACHE_HOME")
    return folder


def _compile(file: str, text: str, folder: Path) -> None:
    """Compile a text to kernel.so in ``folder``, with an entry for each kernel in it."""
    plain = _run(file, ["g++", "-E", "-P", "-x", "c++", "-"], text)
    entries = "".join(f"SHIM_ENTRY({name})\n" for name in _KERNEL.findall(plain))
    whole = f'#include "shim.hpp"\n#line 1 "{file}"\n{text}\n#line 1 "entries"\n{entries}'
    parts = [str(folder / name) for name in ("kernel.o", "kernel.so")]
    _run(file, ["g++", *FLAGS, f"-I{FOLDER}", "-x", "c++", "-c", "-", "-o", parts[0]], whole)
    # apart, lest the checks of -fsanitize come with a library of theirs: shim.hpp has them
    _run(file, ["g++", "-shared", "-Wl,-Bsymbolic", parts[0], "-o", parts[1]], "")


def _run(file: str, command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelError(f"{file}: does not compile:\n{done.stderr}")
    return done.stdout
