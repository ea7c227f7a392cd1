"""float32 to the precision of the plan."""

from __future__ import annotations

from denet.backend.onednn.primitive import Unserved, reorder
from denet.backend.onednn.request import Request
from denet.backend.onednn.unary import UnaryKernel


def cast_kernel(request: Request) -> UnaryKernel:
    """Return the kernel of a Cast node, which stands behind inputs and has no gradient."""
    if request.wanted:
        raise Unserved("gradient of a cast")
    x, y = request.input(), request.output()
    return UnaryKernel(x, y, reorder(x, y), None)
