"""How much memory this process holds, how much more it can have, and whether work fits into it.

What takes much asks first: ``room`` for one thing, ``Estimate`` for work in batches.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from denet.errors import OutOfMemoryError

MEGABYTE, GIGABYTE = 1e6, 1e9
THREAD_BYTES = 72 << 20  # of addresses
SMALL = 1 << 24  # bytes
REST_BYTES = 8_000_000  # compiled kernels, stacks of threads, tables
STEP_BYTES = 80_000  # what one kernel of a plan is compiled to, with its tables
SYSTEM = Path("/")  # above proc and sys


class _Accounts(NamedTuple):
    """Where control groups of one version tell their memory."""

    controller: str  # in /proc/self/cgroup, and its directory in /sys/fs/cgroup
    most: str
    taken: str
    droppable: str  # of the taken bytes, in memory.stat


_ACCOUNTS = (
    _Accounts("", "memory.max", "memory.current", "inactive_file"),  # version 2
    _Accounts(  # version 1
        "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    ),
)


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


def available_bytes(system: Path = SYSTEM) -> int | None:
    """Return how many bytes this process can take in addition; None where nobody tells."""
    return min(_limits(system), default=None)


@contextmanager
def room(needed: int, what: str, mend: str) -> Iterator[None]:
    """Ask for the bytes that ``what`` needs before the block takes them.

    Raises OutOfMemoryError if they are not free, or the block does not get them. SMALL needs are
    not asked for: what is free is told too low where addresses are kept for threads.
    """
    free = available_bytes()
    error = OutOfMemoryError(
        f"{what}: {bytes_text(needed)} of memory needed, "
        + ("more than there is" if free is None else f"{bytes_text(free)} free")
        + f": {mend}"
    )
    if needed > (sys.maxsize if free is None else max(free, SMALL)):
        raise error
    try:
        yield
    except MemoryError:
        raise error from None


@dataclass(frozen=True)
class Estimate:
    """Bytes that ``work`` ("training", ...) on batches of ``batch_size`` images holds at its peak.

    ``growing`` grows with the batch: activations, images in preparation. ``fixed`` does not:
    parameters, their gradients and averages, copies for files. ``resident`` is held already.
    ``factor`` is the number of batches in a step, None where there are no steps to keep as they
    are. ``where`` the memory is: the host's has no name.
    """

    work: str
    batch_size: int
    growing: Mapping[str, int]
    fixed: Mapping[str, int]
    resident: int = 0
    factor: int | None = None
    where: str = ""

    def split(self, names: Collection[str]) -> tuple[Estimate, Estimate]:
        """Return the estimate of the host's memory, and that of the device's, which holds names."""
        host, device = (
            [
                {name: size for name, size in parts.items() if (name in names) == on_device}
                for parts in (self.growing, self.fixed)
            ]
            for on_device in (False, True)
        )
        return (
            replace(self, growing=host[0], fixed=host[1]),
            replace(self, growing=device[0], fixed=device[1], resident=0, where="device "),
        )

    @property
    def total(self) -> int:
        """The peak."""
        return self.resident + sum(self.growing.values()) + sum(self.fixed.values())

    def text(self, available: int | None) -> str:
        """Return the estimate in one line."""
        parts = {**self.growing, **self.fixed, "program and data": self.resident}
        listed = ", ".join(
            f"{name} {bytes_text(size)}" for name, size in parts.items() if size >= MEGABYTE
        )
        left = "" if available is None else f"; {bytes_text(available)} free"
        listed = f" ({listed})" if listed else ""
        return f"{self.where}memory: about {bytes_text(self.total)} at most{listed}{left}"

    def check(self, available: int | None) -> None:
        """Raise OutOfMemoryError naming the batch size that fits, if this one does not."""
        growing, fixed = sum(self.growing.values()), sum(self.fixed.values())
        if available is None or growing + fixed <= available:
            return
        raise OutOfMemoryError(
            f"batch of {self.batch_size}: {self.work} needs {bytes_text(growing + fixed)} more "
            f"{self.where}memory, {bytes_text(available)} are free: {self.mend(available)}"
        )

    def mend(self, available: int, cuts: bool = True) -> str:
        """Say which batch would fit into so many bytes more than are held."""
        growing, fixed = sum(self.growing.values()), sum(self.fixed.values())
        return advice(self.batch_size, self.factor, growing / max(available - fixed, 1), cuts)


def advice(batch_size: int, factor: int | None, shrink: float = 2.0, cuts: bool = True) -> str:
    """Say how to do with ``shrink`` times less memory for the batch, and the same steps if any.

    ``cuts``: whether SPLIT in the network would help, there being a training without such cuts.
    """
    halvings = max(1, math.ceil(math.log2(shrink)))
    smaller = batch_size >> halvings
    if not smaller and factor is None:
        return "use smaller images (model-modify --image-size) or a smaller network"
    if not smaller:
        cut = ", or cut the network with SPLIT" if cuts else ""
        return f"use smaller images or a smaller network{cut}"
    steps = "" if factor is None else f" --batch-size-factor {-(-batch_size * factor // smaller)}"
    return f"try --batch-size {smaller}{steps}"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the system or a GPU gave no more memory, whatever its type.

    CUDA takes some with every stream, event, kernel and graph: CuPy raises RuntimeErrors that end
    in CUDA's own words, "cudaErrorMemoryAllocation: out of memory".
    """
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and "can't start new thread" in str(error))
        or (isinstance(error, RuntimeError) and str(error).endswith(": out of memory"))
        or (isinstance(error, ImportError) and "failed to map segment" in str(error))
    )


def _limits(system: Path) -> Iterator[int]:
    """Yield what the machine, the process's limit and its control groups leave."""
    machine = _fields(system / "proc/meminfo")
    if "MemAvailable" in machine:
        yield (machine["MemAvailable"] + machine.get("SwapFree", 0)) * 1024
    yield from _control_groups(system)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    held = _fields(system / "proc/self/status").get("VmSize")
    if limit != resource.RLIM_INFINITY and held:
        # a thread takes a stack and an arena of malloc; most cores have none yet
        threads = 2 + (os.cpu_count() or 1)
        yield max(0, limit - held * 1024 - threads * THREAD_BYTES)


def _control_groups(system: Path) -> Iterator[int]:
    """Yield what this process's control groups and those above them leave (Linux).

    A container may see its own group as the uppermost one, whatever path the kernel tells.
    """
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    words = (line.split(":", 2) for line in lines)  # number:controllers:path
    paths = {name: path for _, names, path in words for name in names.split(",")}
    for accounts in _ACCOUNTS:
        parts = paths.get(accounts.controller, "/").strip("/").split("/")
        for depth in range(len(parts) + 1):
            group = system.joinpath("sys/fs/cgroup", accounts.controller, *parts[:depth])
            droppable = _fields(group / "memory.stat").get(accounts.droppable, 0)
            try:
                most = int((group / accounts.most).read_text())
                taken = int((group / accounts.taken).read_text()) - droppable
            except (OSError, ValueError):  # no such group, or no limit: "max"
                continue
            yield max(0, most - taken)


def _fields(path: Path) -> dict[str, int]:
    """Return the whole numbers of a file of "name value" lines; none where there is no file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    words = (line.replace(":", " ").split() for line in lines)
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}
