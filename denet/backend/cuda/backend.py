"""The CUDA backend: kernels of our own for every op, on one device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from denet.backend.cuda.add import AddKernel
from denet.backend.cuda.corner_search import CornerSearchKernel
from denet.backend.cuda.device import Device
from denet.backend.cuda.host_kernel import HostKernel
from denet.backend.cuda.inject_ground_truth import InjectGroundTruthKernel
from denet.backend.cuda.request import Request, Unserved
from denet.backend.cuda.sparse_sample import SparseSampleKernel
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Kernel, Layout
from denet.graph.op.add import Add
from denet.graph.op.base import Op, Run
from denet.graph.op.corner_search import CornerSearch
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.op.sparse_sample import SparseSample

log = logging.getLogger(__name__)

KERNELS: dict[type[Op], Callable[[Request], Kernel]] = {
    Add: AddKernel,
    CornerSearch: CornerSearchKernel,
    InjectGroundTruth: InjectGroundTruthKernel,
    SparseSample: SparseSampleKernel,
}


class CudaBackend:
    """Runs on a device; what has no kernel runs on the processor, by the NumPy reference."""

    name: ClassVar[str] = "cuda"
    working_share: ClassVar[float] = 0.0

    def __init__(self, device: Device):
        self._device = device
        self._told: set[str] = set()

    def kernel(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        layouts: Mapping[Tensor, Layout],
        wanted: tuple[int, ...],
    ) -> Kernel:
        """Return the kernel of ``node``: one for the device, or the reference on the processor."""
        make = KERNELS.get(type(node.op))
        why = "no kernel"
        if make:
            try:
                return make(Request(self._device, node, training, precision, run, layouts, wanted))
            except Unserved as reason:
                why = str(reason)
        self._tell(f"{type(node.op).__name__}: {why}: runs on the processor by the reference")
        return HostKernel(self._device, node, training, precision, run, wanted, layouts)

    def allocate(self, nbytes: int) -> Any:
        """Return ``nbytes`` of 64-byte aligned zeroed memory as a uint8 array."""
        return self._device.allocate(nbytes)

    def auto_precision(self) -> str:
        """Return bf16 where the device multiplies it on tensor cores."""
        return "bf16" if self._device.capability >= 80 else "f32"

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            log.info("%s", message)
