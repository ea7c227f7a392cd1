"""Activation functions, each with its derivative as a function of its output alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from denet.graph.op.base import Arrays, Op, Run, Types
from denet.graph.tensor_type import TensorType

LEAK = 0.01  # slope of leaky-relu below 0


class _Function(NamedTuple):
    forward: Callable[[np.ndarray], np.ndarray]  # x -> y
    backward: Callable[[np.ndarray, np.ndarray], np.ndarray]  # y, g -> gx


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) without overflow, exact to the last digits on both sides."""
    y: np.ndarray = np.exp(np.minimum(x, 0))
    y /= 1 + np.exp(-np.abs(x))
    return y


def softmax(x: np.ndarray) -> np.ndarray:
    """Return exp(x) / sum exp(x) over the last axis, shifted by the maximum against overflow."""
    y: np.ndarray = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


def _softmax_backward(y: np.ndarray, g: np.ndarray) -> np.ndarray:
    gx: np.ndarray = y * (g - (g * y).sum(axis=-1, keepdims=True))
    return gx


_RELU = _Function(lambda x: np.maximum(x, 0), lambda y, g: g * (y > 0))

_FUNCTIONS = {
    "sigmoid": _Function(sigmoid, lambda y, g: g * y * (1 - y)),
    "relu": _RELU,
    "relu-safe": _RELU,
    "elu": _Function(
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda y, g: g * np.minimum(y + 1, 1),
    ),
    "tanh": _Function(np.tanh, lambda y, g: g * (1 - y * y)),
    "softmax": _Function(softmax, _softmax_backward),
    "softplus": _Function(lambda x: np.logaddexp(x, 0), lambda y, g: g * -np.expm1(-y)),
    "leaky-relu": _Function(
        lambda x: np.maximum(x, LEAK * x), lambda y, g: np.where(y > 0, g, LEAK * g)
    ),
}

ACTIVATIONS = tuple(_FUNCTIONS)


@dataclass(frozen=True)
class Activation(Op):
    """y = f(x) by element (softmax: over the channels); gx = g f'(x), told from y.

    sigmoid 1 / (1 + e^-x), f' = y (1 - y). relu and relu-safe max(x, 0), f' = 1 where y > 0.
    elu x or e^x - 1 below 0, f' = min(y + 1, 1) (Clevert et al. 2015). tanh, f' = 1 - y^2.
    softmax, gx = y (g - sum g y). softplus log(1 + e^x), f' = 1 - e^-y. leaky-relu max(x, x/100)
    (Maas et al. 2013).
    """

    kind: str

    backward_outputs = (0,)

    def __post_init__(self) -> None:
        assert self.kind in _FUNCTIONS, self.kind

    def infer(self, *inputs: TensorType) -> Types:
        return (inputs[0],)

    def forward(self, run: Run, *inputs: Any) -> tuple[Arrays, Arrays]:
        return (_FUNCTIONS[self.kind].forward(inputs[0]),), ()

    def backward(
        self, run: Run, inputs: Arrays, outputs: Arrays, saved: Arrays, gradients: Arrays
    ) -> Arrays:
        return (_FUNCTIONS[self.kind].backward(outputs[0], gradients[0]),)
