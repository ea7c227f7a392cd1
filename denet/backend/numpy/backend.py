"""The NumPy backend: every op by its reference, on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from denet.backend.numpy.kernel import ReferenceKernel
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Kernel, Layout
from denet.graph.op.base import Run


class NumpyBackend:
    """Runs the reference of every op: slow, complete, exact."""

    name: ClassVar[str] = "numpy"
    working_share: ClassVar[float] = 0.5

    def kernel(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        layouts: Mapping[Tensor, Layout],
        wanted: tuple[int, ...],
    ) -> Kernel:
        """Return the reference kernel of ``node``."""
        return ReferenceKernel(node, training, precision, run, wanted, layouts)

    def allocate(self, nbytes: int) -> np.ndarray:
        """Return ``nbytes`` of 64-byte aligned zeroed memory as a uint8 array."""
        return aligned_zeros(nbytes)

    def auto_precision(self) -> str:
        """Return the precision that is fastest here."""
        return "f32"


def aligned_zeros(nbytes: int) -> np.ndarray:
    """Return a zeroed uint8 array whose first byte lies on a 64-byte boundary."""
    memory = np.zeros(nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes]
