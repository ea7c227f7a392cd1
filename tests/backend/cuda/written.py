"""Kernels written in a test: text behind a header, run on the processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.cuda.host_device import HostDevice

from denet.backend.cuda.device import Grid
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
    device: HostDevice | None = None,
    header: str = "port.cuh",
    name: str = "run",
    blocks: int | Grid = 1,
    threads: int = 32,
    shared: int = 0,
) -> None:
    """Run the kernel ``name`` of a text."""
    source = Written(header, name, body=body)
    grid = (blocks, 1, 1) if isinstance(blocks, int) else blocks
    (device or HostDevice()).launch(source, grid, threads, arguments, shared)()
