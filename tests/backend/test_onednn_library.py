"""Finding and loading libdnnl: what comes back, and what a user is told where it cannot be."""

import ctypes.util
import sys
from pathlib import Path

import pytest

from denet.backend.onednn import library
from denet.backend.onednn.library import Library, OneDnnError, OneDnnUnavailable, find_library, load

try:
    LIBRARY = load()
except OneDnnUnavailable as reason:
    pytest.skip(str(reason), allow_module_level=True)


def test_version_is_3():
    assert LIBRARY.version.startswith("3.")


def test_matrix_tiles_are_told_as_the_kernel_tells_them():
    flags = Path("/proc/cpuinfo").read_text().split()
    assert LIBRARY.has_amx <= ("amx_bf16" in flags)


def test_a_failed_call_names_itself_and_the_reason():
    with pytest.raises(OneDnnError, match="dnnl_engine_create: invalid arguments"):
        LIBRARY.create("engine_create", 1, 99)


def test_override_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("DENET_ONEDNN", str(tmp_path / "libdnnl.so.3"))
    assert find_library() == tmp_path / "libdnnl.so.3"


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(OneDnnUnavailable, match="libdnnl.so.3: cannot be loaded"):
        Library(tmp_path / "libdnnl.so.3")


def test_another_library_is_told():
    with pytest.raises(OneDnnUnavailable, match="is not libdnnl: set DENET_ONEDNN"):
        Library(ctypes.util.find_library("m"))


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="oneDNN comes as a wheel for Linux only"
)
def test_a_missing_wheel_is_told(monkeypatch):
    monkeypatch.delenv("DENET_ONEDNN", raising=False)
    monkeypatch.setattr(library, "WHEEL", "no-such-wheel")
    with pytest.raises(OneDnnUnavailable, match="not installed: pip install no-such-wheel"):
        find_library()
