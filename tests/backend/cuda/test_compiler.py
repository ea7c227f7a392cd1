"""The cache of compiled kernels: what it keeps, what it makes of damage, and that it is no must."""

import hashlib
import os
from pathlib import Path

import pytest

from denet.backend.cuda import compile as compile_module
from denet.backend.cuda.compile import DIGEST, Compiler, cache_folder
from denet.backend.cuda.nvrtc import NvrtcUnavailable, load
from denet.backend.cuda.source import Source

try:
    NVRTC = load()
except NvrtcUnavailable as reason:
    pytest.skip(str(reason), allow_module_level=True)

COPY = Source("copy.cu", "copy", (("THREADS", 256), ("real", "float")))
CUBIN = NVRTC.compile(COPY, "80").cubin


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that every cache of these tests is in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def entry(home: Path) -> Path:
    """Return the only file of the cache, and that there is nothing beside it."""
    (path,) = (home / "denet").iterdir()
    return path


def test_a_kernel_is_compiled_once(home: Path) -> None:
    assert Compiler(NVRTC, "80").cubin(COPY) == CUBIN
    stored = entry(home).read_bytes()
    assert stored[DIGEST:] == CUBIN
    entry(home).write_bytes(hashlib.sha256(b"another").digest() + b"another")
    assert Compiler(NVRTC, "80").cubin(COPY) == b"another"


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 1000, None])
def test_a_damaged_file_is_made_anew(damage: bytes | None, home: Path) -> None:
    Compiler(NVRTC, "80").cubin(COPY)
    whole = entry(home).read_bytes()
    entry(home).write_bytes(whole[:-1] if damage is None else damage)
    assert Compiler(NVRTC, "80").cubin(COPY) == CUBIN
    assert entry(home).read_bytes() == whole


def test_constants_and_architecture_decide_the_file(home: Path) -> None:
    other = Source("copy.cu", "copy", (("THREADS", 128), ("real", "float")))
    made = [Compiler(NVRTC, name).cubin(each) for each in (COPY, other) for name in ("80", "90a")]
    assert len(set(made)) == len(list((home / "denet").iterdir())) == 4


def test_kernels_compiled_side_by_side_are_those_compiled_in_turn() -> None:
    kernels = [
        Source("copy.cu", "copy", (("THREADS", threads), ("real", real)))
        for threads in (64, 128, 256)
        for real in ("float", "bf16")
    ]
    compiler = Compiler(NVRTC, "86")
    futures = [compiler.submit(kernel) for kernel in kernels]
    expected = [NVRTC.compile(kernel, "86").cubin for kernel in kernels]
    assert [future.result() for future in futures] == expected


@pytest.mark.parametrize("place", ["file", "file/below", "missing/" + 300 * "x", "folder"])
def test_a_cache_that_cannot_be_written_is_no_error(
    place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / place))
    if place == "folder":  # even root cannot write a file where a folder is
        Compiler(NVRTC, "80").cubin(COPY)
        path = entry(home / place)
        path.unlink()
        path.mkdir()
    assert Compiler(NVRTC, "80").cubin(COPY) == CUBIN


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "relative/too")
    assert cache_folder() is None
    assert Compiler(NVRTC, "80").cubin(COPY) == CUBIN


def test_the_folder_is_that_of_the_specification(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == home / "denet"
    monkeypatch.setenv("HOME", str(home))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == home / ".cache/denet"


def test_kernels_that_were_not_used_for_longest_go(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (
        Source("copy.cu", "copy", (("THREADS", threads), ("real", "float")))
        for threads in (64, 128, 256)
    )
    compiler, folder = Compiler(NVRTC, "80"), home / "denet"
    compiler.cubin(first)
    (oldest,) = folder.iterdir()
    compiler.cubin(second)
    (other,) = set(folder.iterdir()) - {oldest}
    os.utime(oldest, (1000, 1000))
    os.utime(other, (2000, 2000))
    compiler.cubin(first)  # used again: now the other one is that of long ago
    monkeypatch.setattr(compile_module, "CACHE_BYTES", 2 * oldest.stat().st_size + 1000)
    compiler.cubin(third)
    assert len(list(folder.iterdir())) == 2 and oldest.exists() and not other.exists()
