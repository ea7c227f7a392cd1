"""What a run by MPI leaves where ranks were killed: processes, and shared memory in /dev/shm."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SHARED = Path("/dev/shm")
NAMES = ("mpich_shm_*", "vader_segment.*", "sm_segment.*", "Intel_MPI_*")
KILLED = 5.0  # seconds that what was killed has to let go of its memory: a disk may hold it


def shared_files() -> frozenset[Path]:
    """Return the files of our own that MPI libraries have in /dev/shm."""
    return frozenset(
        path for name in NAMES for path in SHARED.glob(name) if _owner(path) == os.getuid()
    )


def leftovers(before: frozenset[Path]) -> list[Path]:
    """Return those that have come since and that no process uses: others run programs too."""
    if found := shared_files() - before:
        used = set(_used())
        return sorted(path for path in found if str(path) not in used and path.exists())
    return []


def end_all(mark: str, seconds: float) -> None:
    """Kill what has ``mark`` in its environment and does not end within so many seconds.

    Returns when it has let go of its memory.
    """
    for process in _wait(mark, seconds):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    _wait(mark, KILLED)


def _wait(mark: str, seconds: float) -> list[int]:
    """Wait at most so many seconds for the end of all that have ``mark``; return who are left."""
    end = time.monotonic() + seconds
    while (left := _marked(mark.encode())) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _marked(mark: bytes) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def remove_leftovers(before: frozenset[Path]) -> None:
    """Remove what is left over since."""
    for path in leftovers(before):
        with suppress(OSError):
            path.unlink()


def _owner(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_uid
    return None


def _used() -> Iterator[str]:
    """Yield what all processes that we may look into have mapped or open below /dev/shm.

    One without memory ends: the kernel is about to close its files.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # who makes one opens it, maps it, then closes it
            opened = list(_opened(process / "fd"))
            if maps := (process / "maps").read_text(errors="replace"):
                yield from opened
                yield from re.findall(rf"{SHARED}/\S+", maps)


def _opened(folder: Path) -> Iterator[str]:
    for handle in folder.iterdir():
        with suppress(OSError):
            yield os.readlink(handle)
