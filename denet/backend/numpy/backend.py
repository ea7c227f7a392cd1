"""The NumPy backend: every op by its reference, on any machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from denet.backend.numpy.kernel import ReferenceKernel
from denet.backend.numpy.memory import HostMemory
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call, Kernel, Layout, Memory, in_order
from denet.graph.op.base import Run


class NumpyBackend:
    """Runs the reference of every op: slow, complete, exact."""

    name: ClassVar[str] = "numpy"
    working_share: ClassVar[float] = 0.5
    shares_statistics: ClassVar[bool] = False

    def __init__(self) -> None:
        self.memory: Memory = HostMemory()

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

    def sequence(self, calls: Sequence[Call]) -> Call:
        """Return a call that makes these, one behind the other."""
        return in_order(calls)

    def auto_precision(self) -> str:
        """Return the precision that is fastest here."""
        return "f32"
