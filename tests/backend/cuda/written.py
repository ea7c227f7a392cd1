"""Kernels written in a test: text behind a header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from backend.cuda.host_device import HostDevice

from denet.backend.cuda.device import Device, Grid
from denet.backend.cuda.source import Source


@dataclass(frozen=True)
class Written(Source):
    """A kernel whose text is given."""

    body: str = ""

    @property
    def text(self) -> str:
        return super().text + self.body


def run(
    body: str,
    arguments: list[Any],
    *,
    device: Device | None = None,
    header: str = "port.cuh",
    name: str = "run",
    blocks: int | Grid = 1,
    threads: int = 32,
    shared: int = 0,
) -> None:
    """Run the kernel ``name`` of a text on copies of the arrays; what it leaves is copied back."""
    device = device or HostDevice()
    source = Written(header, name, body=body)
    grid = (blocks, 1, 1) if isinstance(blocks, int) else blocks
    given = [_placed(device, argument) for argument in arguments]
    device.launch(source, grid, threads, given, shared)()
    for argument, memory in zip(arguments, given, strict=True):
        if isinstance(argument, np.ndarray):
            argument[...] = device.read(memory)


def _placed(device: Device, argument: Any) -> Any:
    """Return an array's copy on the device, and whatever else as it is."""
    if not isinstance(argument, np.ndarray):
        return argument
    memory = device.allocate(argument.nbytes).view(argument.dtype).reshape(argument.shape)
    device.write(argument, memory)
    return memory
