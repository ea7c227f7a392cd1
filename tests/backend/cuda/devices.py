"""The device that kernels run on in tests: the GPU that GPU=N names, else the processor."""

from __future__ import annotations

import os
from copy import copy
from functools import cache

import pytest
from backend.cuda import host_device
from backend.cuda.host_device import HostDevice

from denet.backend.cuda.cupy_device import CupyDevice
from denet.backend.cuda.device import Device

GPU = os.environ.get("GPU", "")
# orders in which threads run; a GPU has its own, and may give other bits when it runs once more
SCHEDULES = ("once", "once more") if GPU else host_device.SCHEDULES

NO_SHIM = f"GPU={GPU}: the shim runs kernels where there is none" if GPU else ""
shim_alone = pytest.mark.skipif(bool(NO_SHIM), reason=NO_SHIM)


def unavailable() -> str | None:
    """Return why kernels cannot run here, None where they can."""
    return None if GPU else host_device.unavailable()


def device(schedule: str = SCHEDULES[0], seed: int = 0, capability: int | None = None) -> Device:
    """Return the device; None is the capability that is there, 90 on the processor.

    A GPU runs what is written for an older one, but 9.0 has instructions that no other has: the
    test is skipped where a GPU has not what is asked for.
    """
    if not GPU:
        return HostDevice(schedule, seed, capability or 90)
    gpu = _gpu(int(GPU))
    if capability:
        if capability > gpu.capability or (capability == 90 and gpu.capability > 90):
            pytest.skip(f"needs a GPU of {capability / 10}: this one has {gpu.capability / 10}")
        gpu = copy(gpu)
        gpu.capability = capability
    return gpu


@cache
def _gpu(number: int) -> CupyDevice:
    return CupyDevice(number)


each_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
