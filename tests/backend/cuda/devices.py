"""The devices that kernels run on in tests: the processor in three orders, and the GPU of GPU=N."""

from __future__ import annotations

import os

import pytest
from backend.cuda.host_device import SCHEDULES, HostDevice, unavailable

from denet.backend.cuda.device import Device


def devices() -> dict[str, Device]:
    """Return the devices that are here by name."""
    found: dict[str, Device] = {}
    if not unavailable():
        found.update({schedule: HostDevice(schedule) for schedule in SCHEDULES})
    if number := os.environ.get("GPU"):
        from denet.backend.cuda.cupy_device import CupyDevice

        found["gpu"] = CupyDevice(int(number))
    return found


DEVICES = devices()
if not DEVICES:
    pytest.skip(f"{unavailable()}, and GPU names no GPU", allow_module_level=True)

each_device = pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
