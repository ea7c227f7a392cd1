"""The oneDNN shared library through ctypes: found, loaded, its calls typed and checked."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import POINTER, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from denet.errors import UsageError

WHEEL = "onednn-cpu-gomp"
OVERRIDE = "DENET_ONEDNN"
AMX = 0xFEF  # dnnl_cpu_isa_t, one bit per extension: avx512_core_amx

SYNCHRONOUS_RUNTIMES = (1, 2, 4)  # sequential, OpenMP, TBB: execute returns when all is done

STATUS = {
    1: "out of memory",
    2: "invalid arguments",
    3: "unimplemented",
    4: "no further implementation",
    5: "runtime error",
    6: "not required",
}
OUT_OF_MEMORY, UNIMPLEMENTED, LAST_IMPLEMENTATION = 1, 3, 4

_PD = POINTER(c_void_p)  # a created handle is written here
_DIMS = POINTER(c_int64)
_MD = _ATTRIBUTES = _HINT = _ENGINE = c_void_p
_WINDOW = [_DIMS] * 4  # strides, dilates, padding before, padding behind

# The argument types of every call that returns a status; dnnl_ stands before each name.
PROTOTYPES: dict[str, list[Any]] = {
    "engine_create": [_PD, c_int, c_size_t],
    "stream_create": [_PD, _ENGINE, c_uint],
    "memory_desc_create_with_tag": [_PD, c_int, _DIMS, c_int, c_int],
    "memory_desc_create_submemory": [_PD, _MD, _DIMS, _DIMS],
    "memory_desc_clone": [_PD, _MD],
    "memory_desc_destroy": [c_void_p],
    "memory_create": [_PD, _MD, _ENGINE, c_void_p],
    "memory_destroy": [c_void_p],
    "primitive_attr_create": [_PD],
    "primitive_attr_destroy": [c_void_p],
    "primitive_attr_set_scratchpad_mode": [c_void_p, c_int],
    "primitive_attr_set_post_ops": [c_void_p, c_void_p],
    "post_ops_create": [_PD],
    "post_ops_destroy": [c_void_p],
    "post_ops_append_sum": [c_void_p, c_float, c_int, c_int],
    "post_ops_append_binary": [c_void_p, c_int, _MD],
    "post_ops_append_eltwise": [c_void_p, c_int, c_float, c_float],
    "primitive_desc_query": [c_void_p, c_int, c_int, c_void_p],
    "primitive_desc_next_impl": [c_void_p],
    "primitive_desc_destroy": [c_void_p],
    "primitive_create": [_PD, c_void_p],
    "primitive_destroy": [c_void_p],
    "reorder_primitive_desc_create": [_PD, _MD, _ENGINE, _MD, _ENGINE, _ATTRIBUTES],
    "binary_primitive_desc_create": [_PD, _ENGINE, c_int, _MD, _MD, _MD, _ATTRIBUTES],
    "eltwise_forward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, c_int, _MD, _MD, c_float, c_float, _ATTRIBUTES]
    ],
    "eltwise_backward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, _MD, _MD, _MD, c_float, c_float, _HINT, _ATTRIBUTES]
    ],
    "softmax_forward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, c_int, _MD, _MD, c_int, _ATTRIBUTES]
    ],
    "softmax_backward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, _MD, _MD, _MD, c_int, _HINT, _ATTRIBUTES]
    ],
    "lrn_forward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, c_int, _MD, _MD, c_int64, *[c_float] * 3, _ATTRIBUTES]
    ],
    "lrn_backward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, _MD, _MD, _MD, c_int64, *[c_float] * 3, _HINT, _ATTRIBUTES]
    ],
    "pooling_forward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, c_int, _MD, _MD, *[_DIMS] * 5, _ATTRIBUTES]
    ],
    "pooling_backward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, _MD, _MD, *[_DIMS] * 5, _HINT, _ATTRIBUTES]
    ],
    "batch_normalization_forward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, _MD, _MD, c_float, c_uint, _ATTRIBUTES]
    ],
    "batch_normalization_backward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, _MD, _MD, _MD, c_float, c_uint, _HINT, _ATTRIBUTES]
    ],
    "resampling_forward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, c_int, POINTER(c_float), _MD, _MD, _ATTRIBUTES]
    ],
    "resampling_backward_primitive_desc_create": [
        *[_PD, _ENGINE, c_int, POINTER(c_float), _MD, _MD, _HINT, _ATTRIBUTES]
    ],
    "matmul_primitive_desc_create": [_PD, _ENGINE, _MD, _MD, _MD, _MD, _ATTRIBUTES],
}
for _name in ("convolution", "deconvolution"):
    PROTOTYPES |= {
        f"{_name}_forward_primitive_desc_create": [
            *[_PD, _ENGINE, c_int, c_int, _MD, _MD, _MD, _MD, *_WINDOW, _ATTRIBUTES]
        ],
        f"{_name}_backward_data_primitive_desc_create": [
            *[_PD, _ENGINE, c_int, _MD, _MD, _MD, *_WINDOW, _HINT, _ATTRIBUTES]
        ],
        f"{_name}_backward_weights_primitive_desc_create": [
            *[_PD, _ENGINE, c_int, _MD, _MD, _MD, _MD, *_WINDOW, _HINT, _ATTRIBUTES]
        ],
    }


class OneDnnUnavailable(UsageError):
    """oneDNN cannot be used here; the message tells why."""


class OneDnnError(Exception):
    """A oneDNN call failed; ``status`` is its dnnl_status_t."""

    def __init__(self, call: str, status: int):
        super().__init__(f"{call}: {STATUS.get(status, f'status {status}')}")
        self.status = status


def failure(call: str, status: int) -> Exception:
    """Return the error that a status other than success stands for."""
    return MemoryError(call) if status == OUT_OF_MEMORY else OneDnnError(call, status)


class _Version(ctypes.Structure):
    _fields_ = [
        ("major", c_int),
        ("minor", c_int),
        ("patch", c_int),
        ("hash", ctypes.c_char_p),
        ("cpu_runtime", c_uint),
        ("gpu_runtime", c_uint),
    ]


class Library:
    """A loaded libdnnl with one CPU engine and one stream."""

    def __init__(self, path: Path):
        try:
            self._shared = ctypes.CDLL(str(path))
        except OSError as error:  # the loader names the missing file: libgomp.so.1, libtbb.so ...
            raise OneDnnUnavailable(
                f"oneDNN: {path}: cannot be loaded ({error}): install what it needs "
                "(libgomp.so.1 is in the system's package libgomp1 or libgomp)"
            ) from error
        self.path = path
        self.version = self._check_version()
        self._calls = {name: self._checked(name) for name in PROTOTYPES}
        self.execute: Any = self._shared.dnnl_primitive_execute  # unchecked: see primitive.py
        self.query_md: Any = self._shared.dnnl_primitive_desc_query_md
        self.query_md.restype, self.query_md.argtypes = c_void_p, [c_void_p, c_int, c_int]
        self.md_size: Any = self._shared.dnnl_memory_desc_get_size
        self.md_size.restype, self.md_size.argtypes = c_size_t, [c_void_p]
        self.md_equal: Any = self._shared.dnnl_memory_desc_equal
        self.md_equal.argtypes = [c_void_p, c_void_p]
        self.engine = self.create("engine_create", 1, 0)
        self.stream = self.create("stream_create", self.engine, 1)

    def call(self, name: str, *arguments: Any) -> None:
        """Call ``dnnl_<name>``; raise OneDnnError unless it succeeds."""
        self._calls[name](*arguments)

    def create(self, name: str, *arguments: Any) -> c_void_p:
        """Call ``dnnl_<name>`` and return the handle that it writes to its first argument."""
        handle = c_void_p()
        self._calls[name](ctypes.byref(handle), *arguments)
        return handle

    @property
    def isa(self) -> int:
        """The instruction sets that the kernels use, a dnnl_cpu_isa_t of bits."""
        return self._shared.dnnl_get_effective_cpu_isa()

    @property
    def has_amx(self) -> bool:
        """Whether bf16 products run on matrix tiles."""
        return self.isa & AMX == AMX

    def _check_version(self) -> str:
        """Return the version, such as 3.2.0; raise OneDnnUnavailable if it does not serve."""
        query = getattr(self._shared, "dnnl_version", None)
        if query is None:
            raise OneDnnUnavailable(f"oneDNN: {self.path}: is not libdnnl: set {OVERRIDE} to it")
        query.restype = POINTER(_Version)
        found = query().contents
        version = f"{found.major}.{found.minor}.{found.patch}"
        if found.major != 3:
            raise OneDnnUnavailable(f"oneDNN: {self.path}: is version {version}: install version 3")
        if found.cpu_runtime not in SYNCHRONOUS_RUNTIMES:
            raise OneDnnUnavailable(
                f"oneDNN: {self.path}: is built for SYCL: install a build for OpenMP or TBB"
            )
        return version

    def _checked(self, name: str) -> Callable[..., int]:
        function = getattr(self._shared, f"dnnl_{name}")
        function.argtypes = PROTOTYPES[name]

        def check(status: int, *_: Any) -> int:
            if status:
                raise failure(f"dnnl_{name}", status)
            return status

        function.errcheck = check
        return function


def find_library() -> Path:
    """Return the path of libdnnl.so.3: $DENET_ONEDNN or the file of the wheel."""
    override = os.environ.get(OVERRIDE)
    if override:
        return Path(override)
    if not sys.platform.startswith("linux"):
        raise OneDnnUnavailable(
            f"oneDNN: {WHEEL}: is made for Linux only: set {OVERRIDE} to a libdnnl of your own"
        )
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        raise OneDnnUnavailable(f"oneDNN: {WHEEL}: not installed: pip install {WHEEL}") from None
    for file in files:
        if file.name == "libdnnl.so.3":
            return Path(file.locate()).resolve()
    raise OneDnnUnavailable(f"oneDNN: {WHEEL}: lacks libdnnl.so.3: install it again")


@cache
def load() -> Library:
    """Return the library, loaded once per process; raise OneDnnUnavailable."""
    return Library(find_library())
