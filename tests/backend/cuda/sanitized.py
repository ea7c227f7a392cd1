"""Run rows of the case tables under the address sanitizer, which tells each read beyond an array.

    LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \\
        PYTHONPATH=.:tests python tests/backend/cuda/sanitized.py [words in the names of rows]

The sanitizer ends the process at the first fault; the last line printed is the row.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from backend.convolutions import SMALL, TREACHEROUS, WIDE
from backend.cuda import host_device
from backend.kernel_run import KernelRun
from graph.cases import CASES

from denet.backend.cuda.backend import CudaBackend

# stacks are those of fibers, which the sanitizer does not know
FLAGS = ("-fsanitize=address", "--param", "asan-stack=0", "--param", "asan-globals=0")
BEYOND = 1 << 10  # bytes on each side of an array


class SanitizedDevice(host_device.HostDevice):
    """A device whose arrays end where they end."""

    def allocate(self, nbytes: int) -> Any:
        """Return memory between such as nothing may touch."""
        whole = super().allocate(BEYOND + nbytes + BEYOND)
        first = self.address(whole)
        poison(first, BEYOND)
        poison(first + BEYOND + nbytes, BEYOND)
        return whole[BEYOND : BEYOND + nbytes]


def poison(address: int, nbytes: int) -> None:
    """Tell the sanitizer that these bytes are no kernel's."""
    ctypes.CDLL(None).__asan_poison_memory_region(ctypes.c_void_p(address), ctypes.c_size_t(nbytes))


def main(words: list[str]) -> None:
    host_device.FLAGS += FLAGS
    backend = CudaBackend(SanitizedDevice("random"))
    rows = [*CASES, *WIDE, *SMALL, *TREACHEROUS]
    chosen = [row for row in rows if not words or any(word in row.name for word in words)]
    for row in chosen:
        for precision in ("f32", "bf16"):
            print(f"{row.name} in {precision}", flush=True)
            run = KernelRun(backend, row, precision)
            run.forward()
            if run.wanted:
                run.backward()
    print(f"{len(chosen)} rows: nothing beyond an array", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
