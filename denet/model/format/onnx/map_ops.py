"""What ops on maps are in ONNX: a map (n, h, w, c) of ours is (n, c, h, w) there."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.graph.graph import Node
from denet.graph.op.activation import LEAK
from denet.model.format.onnx.writer import Value, Writer

# kind of Activation: the operator and its attributes
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "elu": ("Elu", {"alpha": 1.0}),
    "leaky-relu": ("LeakyRelu", {"alpha": LEAK}),
    "relu": ("Relu", {}),
    "relu-safe": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": 1}),
    "softplus": ("Softplus", {}),
    "tanh": ("Tanh", {}),
}


def activation(w: Writer, node: Node, x: Value) -> Value:
    """Return f(x)."""
    kind, attributes = ACTIVATIONS[node.op.kind]  # type: ignore[attr-defined]
    return w.op(kind, x, **attributes)


def _relu(w: Writer, op: Any, y: Value) -> Value:
    return w.op("Relu", y) if op.activation else y


def add(w: Writer, node: Node, a: Value, b: Value) -> Value:
    """Return a + b, with the ReLU that fusion put behind it."""
    return _relu(w, node.op, a + b)


def conv(w: Writer, node: Node, x: Value, weight: Value, *rest: Value) -> Value:
    """Return the convolution, with bias, residual and ReLU where fusion put them."""
    op: Any = node.op
    (top, bottom), (left, right) = op.padding
    y = w.op(
        "Conv",
        *(x, weight, *rest[: op.bias]),
        kernel_shape=node.inputs[1].shape[2:],
        strides=op.stride,
        pads=(top, left, bottom, right),
        group=op.groups,
    )
    return _relu(w, op, y + rest[-1] if op.residual else y)


def deconv(w: Writer, node: Node, x: Value, weight: Value, *bias: Value) -> Value:
    """Return the transposed convolution; ONNX has (c, o) where our weights have (o, c)."""
    op: Any = node.op
    (top, bottom), (left, right) = op.padding
    return w.op(
        "ConvTranspose",
        *(x, w.transpose(weight, 1, 0, 2, 3), *bias),
        kernel_shape=node.inputs[1].shape[2:],
        strides=op.stride,
        pads=(top, left, bottom, right),
        # our map has room for a whole step behind the last window
        output_padding=[step - 1 for step in op.stride],
    )


def batch_norm(w: Writer, node: Node, x: Value, *parameters: Value) -> Value:
    """Return the normalisation by running statistics, where no convolution has taken it over."""
    op: Any = node.op
    return _relu(w, op, w.op("BatchNormalization", x, *parameters, epsilon=float(op.eps)))


def local_response(w: Writer, node: Node, x: Value) -> Value:
    """Return x / (kappa + alpha sum x^2)^beta; ONNX divides alpha by the size."""
    op: Any = node.op
    _, h, width, c = node.inputs[0].shape
    parts = w.reshape(x, -1, c // op.groups, h, width) if op.groups > 1 else x
    alpha, beta, kappa = map(float, (op.alpha * op.size, op.beta, op.kappa))
    y = w.op("LRN", parts, size=op.size, alpha=alpha, beta=beta, bias=kappa)
    return w.reshape(y, -1, c, h, width) if op.groups > 1 else y


def pool(w: Writer, node: Node, x: Value) -> Value:
    """Return the maximum or mean of each window.

    Windows that stick out beyond the map get a border; ONNX's own ``ceil_mode`` counts otherwise.
    """
    op: Any = node.op
    ((top, bottom), (left, right)), counts = op.geometry(node.inputs[0].shape)
    pads = (top, left, bottom, right)
    largest = op.mode == "max"
    if op.size == node.inputs[0].shape[1:3] and not any(pads):
        return w.op("GlobalMaxPool" if largest else "GlobalAveragePool", x)
    if any(pad >= size for pad, size in zip(pads, (*op.size, *op.size), strict=True)):
        border = w.constant(np.array(-np.inf if largest else 0, np.float32))
        x = w.op("Pad", x, w.ints(0, 0, top, left, 0, 0, bottom, right), border)
        pads = (0, 0, 0, 0)
    window = {"kernel_shape": op.size, "strides": op.stride, "pads": pads}
    if largest:
        return w.op("MaxPool", x, **window)
    y = w.op("AveragePool", x, count_include_pad=1, **window)
    size = op.size[0] * op.size[1]
    if (counts == size).all():
        return y
    return y * w.constant((size / counts[None, None, :, :, 0]).astype(np.float32))


def pool_inverse(w: Writer, node: Node, x: Value) -> Value:
    """Return each cell as a block."""
    size = node.op.size  # type: ignore[attr-defined]
    scales = w.constant(np.array([1, 1, size, size], np.float32))
    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return w.op("Resize", x, None, scales, mode="nearest", **settings)


def concat(w: Writer, node: Node, *inputs: Value) -> Value:
    """Return the channels of all."""
    return w.concat(*inputs, axis=1)


def pad(w: Writer, node: Node, x: Value) -> Value:
    """Return x within zeros."""
    op: Any = node.op
    return w.op("Pad", x, w.ints(0, 0, op.top, op.left, 0, 0, op.bottom, op.right))


def pad_channels(w: Writer, node: Node, x: Value) -> Value:
    """Return x between channels of zeros."""
    op: Any = node.op
    return w.op("Pad", x, w.ints(0, op.before, 0, 0, 0, op.after, 0, 0))


def crop(w: Writer, node: Node, x: Value) -> Value:
    """Return a fixed rectangle."""
    op: Any = node.op
    return _window(w, x, op.top, op.left, op)


def crop_mirror(w: Writer, node: Node, x: Value) -> Value:
    """Return the centre."""
    op: Any = node.op
    _, h, width, _ = node.inputs[0].shape
    return _window(w, x, (h - op.height) // 2, (width - op.width) // 2, op)


def _window(w: Writer, x: Value, top: int, left: int, size: Any) -> Value:
    return w.cut(w.cut(x, 2, top, top + size.height), 3, left, left + size.width)


def first_channels(w: Writer, node: Node, x: Value) -> Value:
    """Return the first channels."""
    return w.cut(x, 1, 0, node.op.channels)  # type: ignore[attr-defined]


def class_probability(w: Writer, node: Node, x: Value) -> Value:
    """Return the mean over the map of the softmax over the classes, (n, k)."""
    return w.op("ReduceMean", w.op("Softmax", x, axis=1), w.ints(2, 3), keepdims=0)
