"""Small graphs for the tests of plans, and a plain float64 evaluation of any graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from denet.backend.numpy.backend import NumpyBackend
from denet.graph.graph import Graph, Tensor
from denet.graph.initial import Initial, constant
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.base import Run
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.class_probability import ClassProbability
from denet.graph.op.conv import Conv
from denet.graph.op.dropout import Dropout
from denet.graph.op.pool import Pool
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy


class SharingBackend(NumpyBackend):
    """The reference, whose convolutions give batch norms mean and variance of what they write."""

    shares_statistics = True


def conv(graph: Graph, x: Tensor, filters: int, size: int, name: str, **settings) -> Tensor:
    border = (size // 2, size // 2)
    weight = graph.parameter(
        f"{name}.weight", (filters, x.shape[3], size, size), Initial("normal", 0.3), decay=True
    )
    inputs = [x, weight]
    if settings.get("bias"):
        inputs.append(graph.parameter(f"{name}.bias", (filters,), Initial("normal", 0.3)))
    return graph.apply(Conv(padding=(border, border), **settings), *inputs, name=name)


def norm(graph: Graph, x: Tensor, name: str) -> Tensor:
    c = x.shape[3]
    gamma = graph.parameter(f"{name}.gamma", (c,), Initial("uniform", 1.0))
    beta = graph.parameter(f"{name}.beta", (c,), Initial("normal", 0.2))
    mean = graph.state(f"{name}.mean", (c,), constant(0.0))
    variance = graph.state(f"{name}.variance", (c,), constant(1.0))
    y, batch_mean, batch_variance = graph.apply(
        BatchNorm(1e-5), x, gamma, beta, mean, variance, name=name
    )
    graph.update(mean, batch_mean, 0.9)
    graph.update(variance, batch_variance, 0.9)
    return y


def residual_network(batch_size: int = 4, split: bool = False) -> Graph:
    """conv-bn-relu, pool, a residual block, dropout, classifier: every fusion and a fork."""
    graph = Graph(batch_size, class_num=3)
    x = graph.input("data", (batch_size, 8, 8, 3), "real")
    x = graph.apply(Activation("relu"), norm(graph, conv(graph, x, 8, 3, "c1"), "n1"))
    x = graph.apply(Pool("max", (2, 2), (2, 2), 0), x)
    if split:
        graph.split()
    y = graph.apply(Activation("relu"), norm(graph, conv(graph, x, 8, 3, "c2"), "n2"))
    if split:
        graph.split()
    y = norm(graph, conv(graph, y, 8, 3, "c3"), "n3")
    x = graph.apply(Activation("relu"), graph.apply(Add(), y, x))
    x = graph.apply(Dropout(0.25, salt=7), x)
    logits = conv(graph, x, 3, 1, "classes", bias=True, dtype="float32")
    index = graph.input("class_index", (batch_size,), "int32")
    graph.cost(graph.apply(SoftmaxCrossEntropy(), logits, index, name="cost"))
    graph.output("class_probability", graph.apply(ClassProbability(), logits))
    return graph


def start_values(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw parameters and states; variances are made positive and unlike one another."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, tensor in {**graph.parameters, **graph.states}.items():
        assert tensor.initial is not None
        values[name] = tensor.initial.sample(tensor.shape, rng)
        if tensor.kind == "state":
            values[name] = values[name] + rng.uniform(0, 0.5, tensor.shape).astype(np.float32)
    return values


def batch_of(graph: Graph, seed: int = 1) -> dict[str, np.ndarray]:
    """Draw an image batch and its classes."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal(graph.inputs["data"].shape).astype(np.float32)
    classes = rng.integers(0, graph.class_num, graph.batch_size).astype(np.int32)
    return {"data": data, "class_index": classes}


def evaluate(
    graph: Graph, values: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray], run: Run
) -> dict[str, np.ndarray]:
    """Run every node of the unfused graph in float64; return all tensors by name."""
    arrays: dict[Tensor, np.ndarray] = {}
    for name, tensor in {**graph.parameters, **graph.states}.items():
        arrays[tensor] = values[name].astype(np.float64)
    for name, tensor in graph.inputs.items():
        array = batch[name]
        arrays[tensor] = array.astype(np.float64) if array.dtype.kind == "f" else array
    for node in graph.nodes:
        outputs, _ = node.op.forward(run, *(arrays[tensor] for tensor in node.inputs))
        arrays.update(zip(node.outputs, outputs, strict=True))
    return {tensor.name: array for tensor, array in arrays.items()}
