"""What the plan asks a kernel for, in the terms of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.backend.cuda.device import Device, Grid
from denet.backend.cuda.grid import THREADS, blocks
from denet.backend.cuda.source import Source
from denet.backend.cuda.tuning import Tuning
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call, Layout
from denet.graph.op.base import Run
from denet.graph.tensor_type import TensorType

ELEMENTS = {
    precision: {"real": real, "float32": "float", "int32": "int", "uint8": "unsigned char"}
    for precision, real in (("f32", "float"), ("bf16", "bf16"))
}
VECTOR_BYTES = 16  # what a thread reads at once


class Unserved(Exception):
    """There is no kernel for what was asked for."""


@dataclass(frozen=True)
class Request:
    """One node and how it is to run: the arguments of ``Backend.kernel``, and the backend's own."""

    device: Device
    tuning: Tuning
    node: Node
    training: bool
    precision: str
    run: Run
    layouts: Mapping[Tensor, Layout]
    wanted: tuple[int, ...]

    def type(self, index: int = 0) -> TensorType:
        """Return the type of an input."""
        return self.node.inputs[index].type

    @property
    def real(self) -> str:
        """The C type of activations."""
        return ELEMENTS[self.precision]["real"]

    def element(self, type_: TensorType) -> str:
        """Return the C type of the elements of an array."""
        return ELEMENTS[self.precision][type_.dtype]

    def launch(
        self,
        file: str,
        name: str,
        grid: int | Grid,
        arguments: Sequence[Any],
        *,
        threads: int = THREADS,
        shared: int = 0,
        **defines: int | str,
    ) -> Call:
        """Bind the kernel ``name`` of ``kernels/file``; ``grid`` counts blocks."""
        given = {"real": self.real, "THREADS": threads, **defines}
        source = Source(file, name, tuple(sorted(given.items())))
        whole = (grid, 1, 1) if isinstance(grid, int) else grid
        return self.device.launch(source, whole, threads, arguments, shared)

    def by_vector(self, file: str, name: str, arrays: Sequence[Any], **defines: Any) -> Call:
        """Bind a kernel that takes arrays of one size and their count, a vector per thread."""
        count = arrays[0].size
        grid = blocks(count, THREADS * VECTOR_BYTES // arrays[0].itemsize)
        return self.launch(file, name, grid, [*arrays, np.int64(count)], **defines)

    def copy(self, source: Any, target: Any) -> Call | None:
        """Bind a copy of an array to another of its shape; None where both are one."""
        if self.device.address(source) == self.device.address(target):
            return None
        real = "float" if source.itemsize == 4 else "bf16"
        return self.by_vector("copy.cu", "copy", [source, target], real=real)
