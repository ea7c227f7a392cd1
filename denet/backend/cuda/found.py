"""What CUDA finds on this machine: the driver, CuPy, the GPUs, NVRTC; and what is missing."""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import dataclass
from typing import Any

from denet.backend.cuda import nvrtc
from denet.errors import UsageError
from denet.memory import bytes_text

LEAST_CAPABILITY = 75  # of the vectors and shuffles that every kernel uses


class CudaUnavailable(UsageError):
    """Something is missing without which nothing runs on a GPU."""


@dataclass(frozen=True)
class Gpu:
    """A device as the driver describes it."""

    name: str
    capability: int  # 90 for 9.0
    processors: int  # multiprocessors
    nbytes: int
    identity: str  # where it is plugged in, and who it is: no two have the same

    def __str__(self) -> str:
        capability = nvrtc.capability_text(self.capability)
        return f"{self.name}, compute capability {capability}, {bytes_text(self.nbytes)}"


def driver_version() -> int:
    """Return the version of CUDA that the driver serves, 12080 for 12.8; 0 without a driver."""
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else version.value


def package_version(driver: int) -> int:
    """Return the version of CUDA whose packages a driver needs: the newest where there is none."""
    newest, oldest = nvrtc.VERSIONS[0], nvrtc.VERSIONS[-1]
    return max(oldest, min(newest, driver // 1000)) if driver else newest


def remedy(driver: int) -> str:
    """Return how to install what a driver needs."""
    version = package_version(driver)
    return f"pip install cupy-cuda{version}x {nvrtc.wheel(version)}"


def import_cupy(driver: int) -> Any:
    """Return CuPy, imported. Raises CudaUnavailable."""
    try:
        import cupy
    except ImportError as error:
        reason = str(error).strip().splitlines()
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        why = "is not installed" if missing else f"cannot be imported ({' '.join(reason[:1])})"
        raise CudaUnavailable(f"CuPy {why}: {remedy(driver)}") from None
    return cupy


def cuda_version(cupy: Any) -> int:
    """Return the version of CUDA for which CuPy is made: 13."""
    return cupy.cuda.runtime.runtimeGetVersion() // 1000


def open_cupy() -> Any:
    """Return CuPy where driver and CuPy fit. Raises CudaUnavailable."""
    driver = driver_version()
    if not driver:
        raise CudaUnavailable("no NVIDIA driver works here (libcuda.so.1): install it")
    cupy = import_cupy(driver)
    if driver // 1000 < (version := cuda_version(cupy)):
        raise CudaUnavailable(
            f"the NVIDIA driver serves CUDA {driver // 1000}, CuPy is made for {version}: "
            f"install a newer driver, or remove CuPy and {remedy(driver)}"
        )
    return cupy


def gpus(cupy: Any) -> list[Gpu]:
    """Return the devices, in the order of their numbers. Raises CudaUnavailable."""
    runtime = cupy.cuda.runtime
    try:
        found = [runtime.getDeviceProperties(index) for index in range(runtime.getDeviceCount())]
    except runtime.CUDARuntimeError as error:
        raise CudaUnavailable(
            f"the NVIDIA driver shows no GPU ({error}): look at nvidia-smi and CUDA_VISIBLE_DEVICES"
        ) from None
    return [
        Gpu(
            each["name"].decode(errors="replace"),
            10 * each["major"] + each["minor"],
            each["multiProcessorCount"],
            each["totalGlobalMem"],
            f"{runtime.deviceGetPCIBusId(index)} {each['uuid'][:16]!r}",
        )
        for index, each in enumerate(found)
    ]


def load_nccl(cupy: Any) -> Any:
    """Return CuPy's NCCL. Raises CudaUnavailable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's words on what it does not find
        from cupy.cuda import nccl
    if not nccl.available:
        version = cuda_version(cupy)
        raise CudaUnavailable(f"NCCL is not installed: pip install nvidia-nccl-cu{version}")
    return nccl


def nccl_version(nccl: Any) -> str:
    """Return the version of NCCL: 2.32.3 of 23203."""
    number = nccl.get_version()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def rows() -> list[tuple[str, str]]:
    """Return (name, what was found or how to add it) rows."""
    driver = driver_version()
    serves = f"serves CUDA {driver // 1000}.{driver % 1000 // 10}"
    versions = (package_version(driver),) if driver else nvrtc.VERSIONS
    nccl_text = "none: CuPy is needed"
    try:
        cupy = import_cupy(driver)
        versions = (cuda_version(cupy),)
        cupy_text = f"{cupy.__version__}, made for CUDA {versions[0]}"
        nccl_text = _nccl_text(cupy)
    except CudaUnavailable as error:
        cupy_text = f"none: {error}"
    return [
        *_gpu_rows(),
        ("nvidia driver", serves if driver else "none works here (libcuda.so.1)"),
        ("cupy", cupy_text),
        ("nvrtc", _nvrtc_text(versions)),
        ("nccl", nccl_text),
    ]


def _gpu_rows() -> list[tuple[str, str]]:
    try:
        found = gpus(open_cupy())
    except CudaUnavailable as error:
        return [("gpu", f"none: {error}")]
    return [("gpu", f"GPU={index}: {gpu}") for index, gpu in enumerate(found)]


def _nccl_text(cupy: Any) -> str:
    try:
        return nccl_version(load_nccl(cupy))
    except CudaUnavailable as error:
        return f"none: {error}"


def _nvrtc_text(versions: tuple[int, ...]) -> str:
    try:
        found = nvrtc.load(versions)
    except nvrtc.NvrtcUnavailable as error:
        return f"none: {error}"
    return f"{found.version}, {found.path}"
