"""Pooling: the maximum or the mean of windows."""

from __future__ import annotations

from denet.backend.onednn.primitive import FORWARD_INFERENCE, WORKSPACE, Primitive, Unserved
from denet.backend.onednn.request import Request
from denet.backend.onednn.unary import UnaryKernel
from denet.graph.op.pool import Pool

# dnnl_alg_kind_t
MAXIMUM, MEAN_WITH_PADDING, MEAN_WITHOUT_PADDING = 0x1FF, 0x2FF, 0x3FF
MOST_SUMMED = 25  # windows over one pixel: the sum of 49 in bf16 is wrong by 2 % of the largest


def pool_kernel(request: Request) -> UnaryKernel:
    """Return the kernel of a Pool node; the maximum keeps where it lay in each window."""
    op = request.node.op
    assert isinstance(op, Pool)
    if op.mode == "max" and request.precision == "bf16" and op.size[0] * op.size[1] > 256:
        raise Unserved("maximum of more than 256 bf16 numbers: its gradient is wrong in 3.2")
    if op.mode == "mean" and request.precision == "bf16" and request.wanted:
        counts = request.node.outputs[0].shape[1:3]
        rows, columns = (
            min(count, -(-size // step))
            for count, size, step in zip(counts, op.size, op.stride, strict=True)
        )
        if rows * columns > MOST_SUMMED:
            raise Unserved(f"a gradient summed in bf16 over {rows * columns} windows")
    x, y = request.input(), request.output()
    algorithm, behind = _algorithm(op, request.node.inputs[0].shape, request.node.outputs[0].shape)
    window = op.stride, op.size, (0, 0), (op.padding, op.padding), behind
    # without a backward pass there is no memory for where the maximum lay
    kind = request.kind if request.wanted else FORWARD_INFERENCE
    forward = Primitive("pooling_forward", kind, algorithm, x, y, *window)
    backward = None
    if request.wanted:
        backward = Primitive("pooling_backward", algorithm, x, y, *window, forward)
    reads = (WORKSPACE,) if algorithm == MAXIMUM else ()
    return UnaryKernel(x, y, forward, backward, *reads)


def _algorithm(op: Pool, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """Return the algorithm, and the padding behind x in which the last window ends.

    Partial windows may end beyond the padded map. The maximum does not see the difference; the
    mean does not count those cells, which oneDNN offers only where it counts no padding at all.
    """
    beyond = [
        max(0, (count - 1) * stride + size - length - 2 * op.padding)
        for count, stride, size, length in zip(y[1:3], op.stride, op.size, x[1:3], strict=True)
    ]
    behind = op.padding + beyond[0], op.padding + beyond[1]
    if op.mode == "max":
        return MAXIMUM, behind
    if not any(beyond):
        return MEAN_WITH_PADDING, behind
    if op.padding:
        raise Unserved("mean over partial windows with padding")
    return MEAN_WITHOUT_PADDING, behind
