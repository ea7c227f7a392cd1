"""Activation functions, by element or (softmax) over the channels."""

from __future__ import annotations

from typing import NamedTuple

from denet.backend.onednn.memory import CHANNELS
from denet.backend.onednn.primitive import DST, SRC, Primitive
from denet.backend.onednn.request import Request
from denet.backend.onednn.unary import UnaryKernel
from denet.graph.op.activation import LEAK, Activation

SOFTMAX_ACCURATE = 0x30000  # dnnl_alg_kind_t


class Function(NamedTuple):
    """The dnnl_alg_kind_t of both directions, their parameter, and what backward reads."""

    forward: int
    backward: int
    alpha: float = 0.0
    reads: int = DST


RELU = Function(0x20, 0x100)

FUNCTIONS = {
    "relu": RELU,
    "relu-safe": RELU,
    "leaky-relu": Function(0x20, 0x100, alpha=LEAK),
    "tanh": Function(0x21, 0x101),
    "elu": Function(0x22, 0x102, alpha=1.0),
    "softplus": Function(0x27, 0x27, alpha=1.0, reads=SRC),
    "sigmoid": Function(0x29, 0x104),
}


def activation_kernel(request: Request) -> UnaryKernel:
    """Return the kernel of an Activation node; both directions may work in place."""
    op = request.node.op
    assert isinstance(op, Activation)
    x = request.input()
    if op.kind == "softmax":
        forward = ("softmax_forward", request.kind, SOFTMAX_ACCURATE, x, x, CHANNELS)
        first = Primitive(*forward)
        backward = ("softmax_backward", SOFTMAX_ACCURATE, x, x, x, CHANNELS, first)
        second = Primitive(*backward) if request.wanted else None
        return UnaryKernel(x, x, first, second, DST, in_place=True)
    function = FUNCTIONS[op.kind]
    first = Primitive("eltwise_forward", request.kind, function.forward, x, x, function.alpha, 0.0)
    second = eltwise_backward(request, function) if request.wanted else None
    return UnaryKernel(x, x, first, second, function.reads, in_place=True)


def eltwise_backward(request: Request, function: Function) -> Primitive:
    """Return the derivative of an elementwise function."""
    x, numbers = request.input(), (function.alpha, 0.0)
    # the forward description that it is checked against names the algorithm of backward
    hint = Primitive("eltwise_forward", request.kind, function.backward, x, x, *numbers)
    return Primitive("eltwise_backward", function.backward, x, x, x, *numbers, hint)
