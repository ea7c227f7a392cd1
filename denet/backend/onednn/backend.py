"""The oneDNN backend: a kernel per op where oneDNN has a fast one, else the NumPy reference."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from denet.backend.numpy.kernel import ReferenceKernel
from denet.backend.numpy.memory import HostMemory
from denet.backend.onednn.activation import activation_kernel
from denet.backend.onednn.add import AddKernel
from denet.backend.onednn.cast import cast_kernel
from denet.backend.onednn.concat import ConcatKernel
from denet.backend.onednn.conv import ConvKernel
from denet.backend.onednn.deconv import DeconvKernel
from denet.backend.onednn.first_channels import FirstChannelsKernel
from denet.backend.onednn.joined_batch_norm import batch_norm_kernel
from denet.backend.onednn.library import load
from denet.backend.onednn.limits import check_sizes
from denet.backend.onednn.local_response import local_response_kernel
from denet.backend.onednn.pool import pool_kernel
from denet.backend.onednn.pool_inverse import pool_inverse_kernel
from denet.backend.onednn.primitive import Unserved
from denet.backend.onednn.request import Request
from denet.backend.onednn.sparse_sample import SparseSampleKernel
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call, Kernel, Layout, Memory, in_order
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.base import Op, Run
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.cast import Cast
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.op.first_channels import FirstChannels
from denet.graph.op.local_response import LocalResponse
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.graph.op.shared_batch_norm import SharedBatchNorm
from denet.graph.op.sparse_sample import SparseSample

log = logging.getLogger(__name__)

KERNELS: dict[type[Op], Callable[[Request], Kernel]] = {
    Activation: activation_kernel,
    Add: AddKernel,
    BatchNorm: batch_norm_kernel,
    Cast: cast_kernel,
    Concat: ConcatKernel,
    Conv: ConvKernel,
    Deconv: DeconvKernel,
    FirstChannels: FirstChannelsKernel,
    LocalResponse: local_response_kernel,
    Pool: pool_kernel,
    PoolInverse: pool_inverse_kernel,
    SharedBatchNorm: batch_norm_kernel,
    SparseSample: SparseSampleKernel,
}


class OneDnnBackend:
    """Runs on all cores of an x86-64 processor. Raises OneDnnUnavailable where it cannot."""

    name: ClassVar[str] = "onednn"
    working_share: ClassVar[float] = 0.0
    shares_statistics: ClassVar[bool] = False

    def __init__(self) -> None:
        self.memory: Memory = HostMemory()
        self._library = load()
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
        """Return the kernel of ``node``: oneDNN's, or the reference where it has none.

        Raises DescriptionError where an image's map or a parameter is too large for oneDNN.
        """
        make = KERNELS.get(type(node.op))
        if make and not getattr(node.op, "statistics", False):
            check_sizes(node)
            try:
                return make(Request(node, training, precision, layouts, wanted))
            except Unserved as reason:
                self._tell(f"{type(node.op).__name__}: {reason}: runs on the NumPy reference")
        return ReferenceKernel(node, training, precision, run, wanted, layouts)

    def sequence(self, calls: Sequence[Call]) -> Call:
        """Return a call that makes these, one behind the other."""
        return in_order(calls)

    def auto_precision(self) -> str:
        """Return bf16 where products run on matrix tiles; elsewhere it gains too little."""
        return "bf16" if self._library.has_amx else "f32"

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            log.info("%s", message)
