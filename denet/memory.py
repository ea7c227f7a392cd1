"""How much memory this process holds, and how much more it can have."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

MEGABYTE, GIGABYTE = 1e6, 1e9
THREAD_BYTES = 72 << 20  # of addresses


def bytes_text(size: int) -> str:
    """Return bytes in words: 512 bytes, 87 MB, 1.25 GB."""
    if 0 < size < MEGABYTE:
        return f"{size:,} bytes"
    return f"{size / GIGABYTE:.2f} GB" if size >= GIGABYTE else f"{size / MEGABYTE:.0f} MB"


def address_limit() -> int | None:
    """Return the bytes of addresses that this process may have at most (ulimit -v); Linux."""
    try:
        lines = Path("/proc/self/limits").read_text().splitlines()
    except OSError:
        return None
    soft = [line.split()[3] for line in lines if line.startswith("Max address space")]
    return int(soft[0]) if soft and soft[0].isdigit() else None


def resident_bytes() -> int:
    """Return the bytes of memory that this process holds; its peak where only that is known."""
    resident = _fields(Path("/proc/self/status")).get("VmRSS")
    return peak_bytes() if resident is None else resident * 1024


def peak_bytes() -> int:
    """Return the most bytes that this process has held so far; 0 where the system cannot tell."""
    peak = _fields(Path("/proc/self/status")).get("VmHWM")
    if peak is not None:
        return peak * 1024
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes() -> int | None:
    """Return how many bytes this process can take in addition; None where nobody tells."""
    return min(_limits(), default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the system gave no more memory, whatever its type."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and "can't start new thread" in str(error))
        or (isinstance(error, ImportError) and "failed to map segment" in str(error))
    )


def _limits() -> Iterator[int]:
    """Yield what the machine, the process's limit and its control groups leave."""
    machine = _fields(Path("/proc/meminfo"))
    if "MemAvailable" in machine:
        yield (machine["MemAvailable"] + machine.get("SwapFree", 0)) * 1024
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    held = _fields(Path("/proc/self/status")).get("VmSize")
    if limit != resource.RLIM_INFINITY and held:
        # a thread takes a stack and an arena of malloc; most cores have none yet
        threads = 2 + (os.cpu_count() or 1)
        yield max(0, limit - held * 1024 - threads * THREAD_BYTES)
    for group in _control_groups():
        stat = _fields(group / "memory.stat")
        try:
            most = int((group / "memory.max").read_text())
            taken = int((group / "memory.current").read_text()) - stat.get("inactive_file", 0)
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        yield max(0, most - taken)


def _control_groups() -> Iterator[Path]:
    """Yield the directories of this process's control group (Linux, version 2) and those above."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    yield from (root.joinpath(*own.split("/")[:depth]) for depth in range(own.count("/") + 2))


def _fields(path: Path) -> dict[str, int]:
    """Return the whole numbers of a file of "name value" lines; none where there is no file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    words = (line.replace(":", " ").split() for line in lines)
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}
