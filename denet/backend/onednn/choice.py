"""Which of oneDNN's implementations of a convolution is taken, by rules found by measuring.

oneDNN's first choice on AVX-512 is brgconv. It multiplies rows of the map it writes by blocks of
the weights: with few columns per row its registers stay empty; strided 1x1 windows suit it less.
On two Zen 5 cores, batch 32, jit instead of brgconv takes (ms)

    512 -> 512, 3x3 on 4x4      forward f32 4.8 -> 4.6, bf16 3.2 -> 1.8; by data bf16 3.1 -> 1.9
    256 -> 512, 3x3 / 2 on 8x8  forward f32 2.7 -> 2.2, bf16 1.8 -> 1.1
    256 -> 512, 1x1 / 2 on 8x8  by data f32 0.46 -> 0.28, bf16 0.36 -> 0.14

By data in f32 brgconv stays ahead (4.9 against 5.3 on 4x4). 1x1 windows without stride on larger
maps, and processors with matrix tiles, were not compared: there oneDNN's first choice stays.
"""

from __future__ import annotations

from typing import Any

from denet.backend.onednn.library import load
from denet.backend.onednn.request import Request
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv

NARROW = 8  # columns: from here on brgconv is at least as fast
BLOCK = 16  # channels in a register
WIDE_STRIDE = 4  # columns
SMALL_MAP = 16  # elements per sample and channel: beyond, gathering costs more than it saves


def prefers_jit(direction: str, request: Request) -> bool:
    """Say whether ``direction`` (forward or backward_data) of a convolution runs better on jit."""
    op: Any = request.node.op
    x, weight = (tensor.shape for tensor in request.node.inputs[:2])
    if request.precision == "bf16" and load().has_amx:
        return False
    if weight[0] % BLOCK or weight[1] % BLOCK or getattr(op, "groups", 1) > 1:
        return False  # not measured; and 1x1 windows in bf16 give wrong results in 3.2
    if weight[2:] == (1, 1) and op.stride != (1, 1):
        return True
    if direction == "forward":
        return request.node.outputs[0].shape[2] < NARROW
    return x[2] < NARROW and request.precision == "bf16"


def takes_patches(request: Request) -> bool:
    """Say whether the gradient of weights is computed as one product of gathered patches.

    Always where a 1x1 window has a stride: oneDNN gathers every stride-th cell too, but books
    too little memory for it where a map has few channels and writes beyond (its issue 6035, 3.2
    and later); elsewhere both are equally fast.

    In bf16 on small maps: 512 -> 512, 3x3 on 4x4 takes 2.7 ms instead of 3.7 on two Zen 5 cores. On
    8x8 both take 2.9; in f32 the product alone is slower than the convolution.
    """
    op: Any = request.node.op
    y = request.node.outputs[0].shape
    if getattr(op, "groups", 1) > 1:
        return False
    if request.node.inputs[1].shape[2:] == (1, 1):
        return op.stride != (1, 1)
    small = y[1] * y[2] <= SMALL_MAP
    return small and request.precision == "bf16" and isinstance(op, Conv) and not op.bias


def needs_clean_scratch(request: Request) -> bool:
    """Tell where the gradient of weights in bf16 reads scratch memory that nobody wrote (3.2).

    On maps of one or two columns with a horizontal stride, where a cell of the window sees only
    padding; zeros give the right result.
    """
    op: Any = request.node.op
    columns = min(request.node.inputs[0].shape[2], request.node.outputs[0].shape[2])
    return request.precision == "bf16" and op.stride[1] > 1 and columns <= 2


def overruns_rows(direction: str, request: Request) -> bool:
    """Tell where brgconv in bf16 writes beyond the map and gets it wrong (3.2).

    Seen going forward, and by data in a transposed convolution, which is the same, with a
    horizontal stride of 4 or more and padding before the first of a few columns. oneDNN has nothing
    else by data for most of the transposed ones: they run on the reference where they are trained.
    """
    op: Any = request.node.op
    gathers = direction == ("backward_data" if isinstance(op, Deconv) else "forward")
    wide = op.stride[1] >= WIDE_STRIDE and op.padding[1][0] > 0
    return request.precision == "bf16" and gathers and wide


def is_not_brgconv(implementation: str) -> bool:
    """Tell the implementations that are right where ``overruns_rows`` holds."""
    return not implementation.startswith("ref") and "brgconv" not in implementation


def is_wide_jit(implementation: str) -> bool:
    """Tell the jit kernels of the full register width from their fallbacks."""
    return implementation.startswith("jit") and "avx512" in implementation
