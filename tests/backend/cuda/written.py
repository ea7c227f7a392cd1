"""Kernels written in a test: text behind port.cuh, run on the processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.cuda.host_device import HostDevice

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
    name: str = "run",
    blocks: int = 1,
    threads: int = 32,
    shared: int = 0,
) -> None:
    """Run the kernel ``name`` of a text."""
    source = Written("port.cuh", name, body=body)
    (device or HostDevice()).launch(source, (blocks, 1, 1), threads, arguments, shared)()
