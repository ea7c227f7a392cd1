"""Finding NVRTC and what a person is told where it is missing or refuses a text."""

import ctypes.util
from pathlib import Path

import pytest

from denet.backend.cuda import nvrtc, source
from denet.backend.cuda.nvrtc import CompileError, Nvrtc, NvrtcUnavailable, find_library, load
from denet.backend.cuda.source import Source

try:
    NVRTC = load()
except NvrtcUnavailable as reason:
    pytest.skip(str(reason), allow_module_level=True)

ELF = b"\x7fELF"


@pytest.mark.parametrize(
    ("capability", "architecture"),
    [(75, "75"), (80, "80"), (85, "80"), (86, "86"), (90, "90a"), (100, "100"), (120, "120")],
)
def test_a_device_gets_code_that_it_runs(capability: int, architecture: str) -> None:
    """That of a lower minor number runs too; only 9.0 has the instructions of 90a."""
    assert NVRTC.architecture(capability) == architecture


def test_a_device_that_is_not_known_is_told() -> None:
    with pytest.raises(NvrtcUnavailable, match="no compute capability 99.1: install a newer one"):
        NVRTC.architecture(991)


def test_an_error_names_file_line_and_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    (tmp_path / "wrong.cu").write_text('extern "C" __global__ void wrong() {\n    missing();\n}\n')
    with pytest.raises(CompileError, match=r'sm_80: .*wrong\.cu\(2\): error: .*"missing"'):
        NVRTC.compile(Source("wrong.cu", "wrong"), "80")
    with pytest.raises(CompileError, match="sm_81: .*invalid value for --gpu-architecture"):
        NVRTC.compile(Source("wrong.cu", "wrong"), "81")


def test_machine_code_and_the_report_of_registers_come_back() -> None:
    compiled = NVRTC.compile(Source("copy.cu", "copy", (("THREADS", 256), ("real", "bf16"))), "90a")
    assert compiled.cubin.startswith(ELF) and b"copy" in compiled.cubin
    assert "Compiling entry function 'copy' for 'sm_90a'" in compiled.log
    assert compiled.log.count("Used ") == 1


def test_what_is_not_the_library_is_told(tmp_path: Path) -> None:
    with pytest.raises(NvrtcUnavailable, match=r"libnvrtc\.so: cannot be used"):
        Nvrtc(str(tmp_path / "libnvrtc.so"))
    with pytest.raises(NvrtcUnavailable, match="cannot be used .*nvrtcVersion"):
        Nvrtc(str(ctypes.util.find_library("m")))


def test_a_missing_library_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "wheel", lambda version: "no-such-wheel")
    with pytest.raises(NvrtcUnavailable, match="NVRTC 99: not found: pip install no-such-wheel"):
        find_library((99,))


def test_the_library_of_a_toolkit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    library = tmp_path / "lib64" / "libnvrtc.so.98"
    library.parent.mkdir()
    library.touch()
    assert find_library((99, 98)) == str(library)
