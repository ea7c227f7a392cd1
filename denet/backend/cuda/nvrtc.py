"""NVRTC, the compiler of kernels, by ctypes. It needs neither CuPy nor a driver.

Functions and options: https://docs.nvidia.com/cuda/nvrtc
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from denet.backend.cuda.source import Source
from denet.errors import DenetError, UsageError

VERSIONS = (13, 12)  # of CUDA, the best first
OPTIONS = (
    "-std=c++17",
    "--ptxas-options=-v",  # the log tells registers, spills and shared memory
    "--diag-suppress=177",  # a header's constant that not every kernel uses
)
PROTOTYPES: dict[str, list[Any]] = {
    "Version": [POINTER(c_int), POINTER(c_int)],
    "GetNumSupportedArchs": [POINTER(c_int)],
    "GetSupportedArchs": [POINTER(c_int)],
    "CreateProgram": [POINTER(c_void_p), c_char_p, c_char_p, c_int, c_void_p, c_void_p],
    "CompileProgram": [c_void_p, c_int, POINTER(c_char_p)],
    "GetProgramLogSize": [c_void_p, POINTER(c_size_t)],
    "GetProgramLog": [c_void_p, c_char_p],
    "GetCUBINSize": [c_void_p, POINTER(c_size_t)],
    "GetCUBIN": [c_void_p, c_char_p],
    "DestroyProgram": [POINTER(c_void_p)],
}
_ERROR = re.compile(r"^.*\berror\b.*$", re.MULTILINE)


class NvrtcUnavailable(UsageError):
    """There is no NVRTC here, or none that serves."""


class CompileError(DenetError):
    """NVRTC refused the text of a kernel."""


@dataclass(frozen=True)
class Compiled:
    """Machine code of all functions of a text, and what the compiler said of them."""

    cubin: bytes
    log: str


class Nvrtc:
    """The library; several threads may compile at once. Raises NvrtcUnavailable."""

    def __init__(self, path: str):
        try:
            self._shared = ctypes.CDLL(path)
            self._functions = {name: getattr(self._shared, f"nvrtc{name}") for name in PROTOTYPES}
        except (OSError, AttributeError) as error:
            raise NvrtcUnavailable(
                f"NVRTC: {path}: cannot be used ({error}): install it again"
            ) from None
        for name, types in PROTOTYPES.items():
            self._functions[name].argtypes = types
        self._shared.nvrtcGetErrorString.restype = c_char_p
        self.path = path
        major, minor = c_int(), c_int()
        self._call("Version", ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    @property
    def capabilities(self) -> list[int]:
        """The compute capabilities that it compiles for: 90 stands for 9.0."""
        count = c_int()
        self._call("GetNumSupportedArchs", ctypes.byref(count))
        found = (c_int * count.value)()
        self._call("GetSupportedArchs", found)
        return list(found)

    def architecture(self, capability: int) -> str:
        """Return what to compile for, that a device runs: "80", "90a". Raises NvrtcUnavailable.

        Code of a lower minor number runs too. 9.0 has its own matrix instructions under "90a".
        """
        major = capability // 10
        known = [each for each in self.capabilities if each // 10 == major and each <= capability]
        if not known:
            raise NvrtcUnavailable(
                f"NVRTC {self.version}: {self.path}: knows no compute capability "
                f"{capability_text(capability)}: install a newer one"
            )
        return "90a" if max(known) == 90 else str(max(known))

    def compile(self, source: Source, architecture: str) -> Compiled:
        """Compile the text of a kernel, all functions of its file. Raises CompileError."""
        program = c_void_p()
        text, name = source.text.encode(), source.file.encode()
        self._call("CreateProgram", ctypes.byref(program), text, name, 0, None, None)
        try:
            options = [option.encode() for option in (*OPTIONS, f"-arch=sm_{architecture}")]
            words = (c_char_p * len(options))(*options)
            status = self._functions["CompileProgram"](program, len(options), words)
            log = self._bytes(program, "GetProgramLog").rstrip(b"\0").decode(errors="replace")
            if status:
                error = _ERROR.search(log)
                raise CompileError(
                    f"{source.file} for sm_{architecture}: NVRTC {self.version}: "
                    f"{error[0] if error else self._reason(status)}: a fault of the kernel or of "
                    "that NVRTC: report it, or install another"
                )
            return Compiled(self._bytes(program, "GetCUBIN"), log)
        finally:
            self._call("DestroyProgram", ctypes.byref(program))

    def _bytes(self, program: c_void_p, getter: str) -> bytes:
        size = c_size_t()
        self._call(f"{getter}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(getter, program, content)
        return content.raw

    def _call(self, name: str, *arguments: Any) -> None:
        if status := self._functions[name](*arguments):
            raise CompileError(f"nvrtc{name}: {self._reason(status)}")

    def _reason(self, status: int) -> str:
        return self._shared.nvrtcGetErrorString(status).decode()


def capability_text(capability: int) -> str:
    """Return a compute capability as it is written: 9.0 for 90."""
    return f"{capability // 10}.{capability % 10}"


def wheel(version: int) -> str:
    """Return the package that holds NVRTC of a version of CUDA."""
    return "nvidia-cuda-nvrtc-cu12" if version == 12 else "nvidia-cuda-nvrtc"


def find_library(versions: Sequence[int] = VERSIONS) -> str:
    """Return the path of libnvrtc: from the wheel, else from the system. NvrtcUnavailable."""
    for version in versions:
        name = f"libnvrtc.so.{version}"
        files: Sequence[metadata.PackagePath] = ()
        with suppress(metadata.PackageNotFoundError):
            files = metadata.files(wheel(version)) or ()
        toolkits = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
        places = [Path(str(file.locate())) for file in files if file.name == name]
        places += [Path(toolkit, "lib64", name) for toolkit in toolkits if toolkit]
        for place in places:
            if place.is_file():
                return str(place.resolve())
        with suppress(OSError):
            ctypes.CDLL(name)
            return name
    raise NvrtcUnavailable(
        f"NVRTC {' or '.join(map(str, versions))}: not found: pip install {wheel(versions[0])}"
    )


@cache
def load(versions: tuple[int, ...] = VERSIONS) -> Nvrtc:
    """Return the library of one of these versions of CUDA, loaded once. NvrtcUnavailable."""
    return Nvrtc(find_library(versions))
