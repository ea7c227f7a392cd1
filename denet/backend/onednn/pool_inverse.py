"""The nearest enlargement of a map."""

from __future__ import annotations

from denet.backend.onednn.primitive import Primitive
from denet.backend.onednn.request import Request
from denet.backend.onednn.unary import UnaryKernel

NEAREST = 0x2FFF0  # dnnl_alg_kind_t: resampling_nearest


def pool_inverse_kernel(request: Request) -> UnaryKernel:
    """Return the kernel of a PoolInverse node."""
    x, y = request.input(), request.output()
    forward = Primitive("resampling_forward", request.kind, NEAREST, None, x, y)
    backward = None
    if request.wanted:
        backward = Primitive("resampling_backward", NEAREST, None, x, y, forward)
    return UnaryKernel(x, y, forward, backward)
