"""Which backend a run gets, and what GPU=N is told where it cannot be had."""

import sys

import pytest

from denet.backend.cuda import found
from denet.backend.cuda.found import CudaUnavailable, driver_version, import_cupy, open_cupy
from denet.backend.select import choose_backend
from denet.errors import UsageError


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_gpu_variable_the_processor_computes(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPU", raising=False)
    if value is not None:
        monkeypatch.setenv("GPU", value)
    assert choose_backend().name in ("onednn", "numpy")
    assert choose_backend("numpy").name == "numpy"


@pytest.mark.parametrize("value", ["x", "-1", "0,1", "1.0", " 0", "0\n", "\u0663", "9" * 5000])
def test_what_is_not_the_number_of_a_gpu_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU", value)
    with pytest.raises(
        UsageError, match="give the number of one GPU, such as 0, or unset GPU"
    ) as told:
        choose_backend()
    assert ("model-train-multi" in str(told.value)) == ("," in value)


def test_a_gpu_and_a_backend_of_the_processor_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GPU", "0")
    with pytest.raises(
        UsageError, match="GPU=0: --backend: numpy runs on the CPU: give --backend auto"
    ):
        choose_backend("numpy")


@pytest.mark.skipif(driver_version() > 0, reason="this machine has a driver: it misses nothing")
def test_a_missing_driver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU", "0")
    for name in (None, "auto"):
        with pytest.raises(UsageError, match="^GPU=0: no NVIDIA driver .* or unset GPU to run on"):
            choose_backend(name)


@pytest.mark.parametrize(
    ("driver", "packages"),
    [
        (0, "cupy-cuda13x nvidia-cuda-nvrtc"),
        (11080, "cupy-cuda12x nvidia-cuda-nvrtc-cu12"),
        (12080, "cupy-cuda12x nvidia-cuda-nvrtc-cu12"),
        (13000, "cupy-cuda13x nvidia-cuda-nvrtc"),
        (14010, "cupy-cuda13x nvidia-cuda-nvrtc"),
    ],
)
def test_a_missing_cupy_is_told_with_the_packages_for_the_driver(
    driver: int, packages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as import finds what is not installed
    with pytest.raises(CudaUnavailable, match=f"CuPy is not installed: pip install {packages}$"):
        import_cupy(driver)
    if driver:
        monkeypatch.setattr(found, "driver_version", lambda: driver)
        with pytest.raises(CudaUnavailable, match="CuPy is not installed"):
            open_cupy()
