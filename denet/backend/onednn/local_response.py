"""Local response normalisation."""

from __future__ import annotations

from denet.backend.onednn.memory import MemoryDesc
from denet.backend.onednn.primitive import SRC, WORKSPACE, Primitive, Unserved
from denet.backend.onednn.request import Request
from denet.backend.onednn.unary import UnaryKernel
from denet.graph.kernel import Kernel
from denet.graph.op.local_response import LocalResponse

ACROSS_CHANNELS = 0xAFF  # dnnl_lrn_across_channels
SIZES, BLOCK = (3, 5), 16  # sums, and channels in a register, that are right in both directions


def local_response_kernel(request: Request) -> Kernel:
    """Return the kernel of a normalisation.

    Groups lie behind one another in each cell: oneDNN sees them as cells of their own.
    """
    op = request.node.op
    assert isinstance(op, LocalResponse)
    n, h, w, c = request.node.inputs[0].shape
    if op.size not in SIZES or c // op.groups % BLOCK:
        # in 3.2: crashes for size 1, wrong gradients for larger ones and other channels
        raise Unserved(f"over {op.size} of {c // op.groups} channels")
    x = MemoryDesc.activation((n, h, w * op.groups, c // op.groups), request.real)
    # oneDNN divides alpha by the size
    numbers = op.size, op.alpha * op.size, op.beta, op.kappa
    forward = Primitive("lrn_forward", request.kind, ACROSS_CHANNELS, x, x, *numbers)
    backward = None
    if request.wanted:
        backward = Primitive("lrn_backward", ACROSS_CHANNELS, x, x, x, *numbers, forward)
    return UnaryKernel(x, x, forward, backward, SRC, WORKSPACE)
