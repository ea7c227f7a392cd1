"""Kernels compiled: several at once, and each only once on a machine."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from denet.backend.cuda.nvrtc import OPTIONS, Nvrtc
from denet.backend.cuda.source import Source
from denet.cores import core_count
from denet.errors import DataError
from denet.files import atomic_write

CACHE_BYTES = 256 * 2**20  # some thousand kernels; those that were not used for longest go
DIGEST = 32  # bytes of SHA-256, before the machine code in a file


class Compiler:
    """Compiles for one architecture on all cores, with a cache on the disk.

    A file of the cache is named after everything that decides its content. A damaged one is
    compiled anew; a folder that cannot be read or written costs time only.
    """

    def __init__(self, nvrtc: Nvrtc, architecture: str):
        self._nvrtc = nvrtc
        self._architecture = architecture
        self._folder = cache_folder()
        self._pool = ThreadPoolExecutor(core_count(), "compile")

    def submit(self, source: Source) -> Future[bytes]:
        """Begin to compile; the result is a cubin, the error a CompileError."""
        return self._pool.submit(self.cubin, source)

    def cubin(self, source: Source) -> bytes:
        """Return the machine code of a kernel's text. Raises CompileError."""
        if self._folder is None:
            return self._nvrtc.compile(source, self._architecture).cubin
        key = "\0".join((self._nvrtc.version, self._architecture, *OPTIONS, source.text))
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.cubin"
        cubin = _read(path)
        if cubin is None:
            cubin = self._nvrtc.compile(source, self._architecture).cubin
            _write(path, cubin)
        return cubin


def cache_folder() -> Path | None:
    """Return where compiled kernels are kept, $XDG_CACHE_HOME/denet; None without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # what the XDG specification says of such a value: ignore it
        base = os.path.expanduser("~/.cache")
    return Path(base, "denet") if os.path.isabs(base) else None


def _read(path: Path) -> bytes | None:
    """Return what ``_write`` put there, None if it is not there or not whole."""
    with suppress(OSError):
        stored = path.read_bytes()
        digest, cubin = stored[:DIGEST], stored[DIGEST:]
        if hashlib.sha256(cubin).digest() == digest:
            os.utime(path)
            return cubin
    return None


def _write(path: Path, cubin: bytes) -> None:
    with suppress(OSError, DataError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(hashlib.sha256(cubin).digest() + cubin)
        _trim(path.parent)


def _trim(folder: Path) -> None:
    """Delete the files that were not used for longest, until the rest is small enough."""
    found = [(path.stat(), path) for path in folder.glob("*.cubin")]
    total = sum(stat.st_size for stat, _ in found)
    for stat, path in sorted(found, key=lambda each: each[0].st_mtime):
        if total <= CACHE_BYTES:
            return
        path.unlink()
        total -= stat.st_size
