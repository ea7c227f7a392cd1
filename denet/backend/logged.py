"""A backend that tells which implementation every node gets: --log-kernels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar

from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Backend, Call, Kernel, Layout
from denet.graph.op.base import Run

log = logging.getLogger(__name__)


def logged(backend: Backend) -> Backend:
    """Return a backend with the kernels of ``backend`` that logs each choice once."""
    told: set[tuple[str, bool, str]] = set()

    class Logged:
        name: ClassVar[str] = backend.name
        working_share: ClassVar[float] = backend.working_share
        shares_statistics: ClassVar[bool] = backend.shares_statistics
        memory = backend.memory

        def kernel(
            self,
            node: Node,
            training: bool,
            precision: str,
            run: Run,
            layouts: Mapping[Tensor, Layout],
            wanted: tuple[int, ...],
        ) -> Kernel:
            kernel = backend.kernel(node, training, precision, run, layouts, wanted)
            choice = (node.name, training, kernel.name)
            if choice not in told:
                told.add(choice)
                mode = "train" if training else "predict"
                log.info(
                    "kernel: %s: %s: %s: %s", mode, node.name, type(node.op).__name__, kernel.name
                )
            return kernel

        def sequence(self, calls: Sequence[Call]) -> Call:
            return backend.sequence(calls)

        def auto_precision(self) -> str:
            return backend.auto_precision()

    return Logged()
