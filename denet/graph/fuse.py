"""Graph to graph: the same function with fewer nodes and fewer passes over memory.

A convolution takes over the border before it, and training joins a batch norm or an addition with
the ReLU behind it. Where the backend's convolutions give mean and variance of what they write, a
batch norm takes them from the one it reads. Prediction also drops dropout, folds batch norm into
the convolution before it and lets convolutions add a residual and apply the ReLU. Every pass
returns a new graph and leaves its input as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from denet.graph.graph import Graph, Node, Tensor
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.cast import Cast
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.op.dropout import Dropout
from denet.graph.op.inject_ground_truth import InjectGroundTruth
from denet.graph.op.pad import Pad
from denet.graph.tensor_type import TensorType

RELU = ("relu", "relu-safe")
TRAINING_ONLY = (Dropout, InjectGroundTruth)  # the first outputs are the first inputs else


def for_training(graph: Graph, precision: str, statistics: bool = False) -> Graph:
    """Return what a training plan runs: all that the costs and the ratios need.

    With ``statistics`` convolutions give those of the batch to the batch norms behind them.
    """
    graph = _prune(graph, [*(cost.tensor for cost in graph.costs), *graph.ratios.values()])
    graph = _fuse_relu(_fuse_border(graph), (BatchNorm, Add))
    return _cast_inputs(_share_statistics(graph) if statistics else graph, precision)


def for_prediction(graph: Graph, precision: str, fold: bool = True) -> Graph:
    """Return what a prediction plan runs: all that the outputs need.

    With ``fold`` convolutions take over the batch norm behind them.
    """
    graph = _drop_training_only(replace(graph, costs=[], ratios={}, updates=[]))
    graph = _prune(graph, list(graph.outputs.values()))
    graph = _fuse_relu(_fuse_border(graph), (BatchNorm, Add))
    graph = _fold_batch_norm(graph) if fold else graph
    graph = _fuse_relu(_fuse_residual(graph), (Conv,))
    return _cast_inputs(graph, precision)


def _prune(graph: Graph, wanted: list[Tensor]) -> Graph:
    """Keep the nodes that ``wanted`` depends on."""
    needed = set(wanted)
    nodes = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            nodes.append(node)
    inputs = {name: tensor for name, tensor in graph.inputs.items() if tensor in needed}
    made = {tensor for node in nodes for tensor in node.outputs}
    updates = [update for update in graph.updates if update.value in made]
    return replace(graph, nodes=nodes[::-1], inputs=inputs, updates=updates)


def _consumers(graph: Graph) -> dict[Tensor, list[Node]]:
    """Return the nodes that read each tensor."""
    readers: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    return readers


def _only_reader(
    graph: Graph, readers: Mapping[Tensor, list[Node]], tensor: Tensor, kind: type
) -> Node | None:
    """Return the node of this op kind that alone reads ``tensor``, if that is so."""
    found = readers.get(tensor, [])
    if len(found) == 1 and isinstance(found[0].op, kind) and tensor not in graph.outputs.values():
        return found[0]
    return None


def _rewrite(graph: Graph, fused: Mapping[Node, Node | None]) -> Graph:
    """Put each fused node in the place of its key; a key with None disappears."""
    nodes = [fused.get(node, node) for node in graph.nodes]
    return replace(graph, nodes=[node for node in nodes if node is not None])


def _fuse_relu(graph: Graph, kinds: tuple[type, ...]) -> Graph:
    """Join each node of these op kinds with the ReLU that alone reads its first output."""
    readers = _consumers(graph)
    fused: dict[Node, Node | None] = {}
    for node in graph.nodes:
        if not isinstance(node.op, kinds) or getattr(node.op, "activation", None):
            continue
        after = _only_reader(graph, readers, node.outputs[0], Activation)
        if after and after.op.kind in RELU and after.segment == node.segment:  # type: ignore[attr-defined]
            op = replace(node.op, activation="relu")  # type: ignore[type-var]
            fused[node] = None
            fused[after] = replace(node, op=op, outputs=[after.outputs[0], *node.outputs[1:]])
    return _rewrite(graph, fused)


def _fuse_border(graph: Graph) -> Graph:
    """Let the convolution that alone reads a map with a border of zeros read it without.

    Each window still sees a part of the map: what is narrower than it moves into the convolution.
    """
    readers = _consumers(graph)
    fused: dict[Node, Node | None] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Pad):
            continue
        after = _only_reader(graph, readers, node.outputs[0], Conv)
        if after is None or after.segment != node.segment:
            continue
        op: Conv = after.op  # type: ignore[assignment]
        (top, bottom), (left, right) = op.padding
        rows, columns = node.op.top + top, node.op.left + left
        padding = (rows, node.op.bottom + bottom), (columns, node.op.right + right)
        if all(
            max(ends) < size for ends, size in zip(padding, after.inputs[1].shape[2:], strict=True)
        ):
            inputs = [node.inputs[0], *after.inputs[1:]]
            fused[node] = None
            fused[after] = replace(after, op=replace(op, padding=padding), inputs=inputs)
    return _rewrite(graph, fused)


def _share_statistics(graph: Graph) -> Graph:
    """Let each convolution that a batch norm reads give mean and variance of what it writes.

    They are the same tensors as before, so that running averages see no difference. Others may read
    the convolution too; of several batch norms the first takes what it gives.
    """
    readers = _consumers(graph)
    fused: dict[Node, Node | None] = {}
    for node in graph.nodes:
        # one whose statistics are those of several ranks finds them itself
        norms = [each for each in readers.get(node.outputs[0], []) if type(each.op) is BatchNorm]
        if not isinstance(node.op, Conv) or not norms:
            continue
        norm = norms[0]
        y, *statistics = norm.outputs
        gives, takes = (replace(each.op, statistics=True) for each in (node, norm))  # type: ignore[type-var]
        fused[node] = replace(node, op=gives, outputs=[*node.outputs, *statistics])
        fused[norm] = replace(norm, op=takes, inputs=[*norm.inputs, *statistics], outputs=[y])
    return _rewrite(graph, fused)


def _drop_training_only(graph: Graph) -> Graph:
    """Where an op changes nothing but in training, read its inputs in the place of its outputs."""
    source: dict[Tensor, Tensor] = {}
    nodes = []
    for node in graph.nodes:
        inputs = [source.get(tensor, tensor) for tensor in node.inputs]
        if isinstance(node.op, TRAINING_ONLY):
            source.update(zip(node.outputs, inputs, strict=False))
        else:
            nodes.append(replace(node, inputs=inputs))
    outputs = {name: source.get(tensor, tensor) for name, tensor in graph.outputs.items()}
    return replace(graph, nodes=nodes, outputs=outputs)


def _fold_batch_norm(graph: Graph) -> Graph:
    """Multiply the scale of a batch norm into the convolution that alone feeds it.

    gamma * (w x + b - mean) / s + beta = (w gamma / s) x + (b - mean) gamma / s + beta
    """
    readers = _consumers(graph)
    fused: dict[Node, Node | None] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Conv | Deconv):
            continue
        norm = _only_reader(graph, readers, node.outputs[0], BatchNorm)
        if norm is None or (norm.op.activation and isinstance(node.op, Deconv)):  # type: ignore[attr-defined]
            continue
        op: Conv | Deconv = replace(node.op, bias=True)
        if isinstance(op, Conv):
            op = replace(op, activation=norm.op.activation)  # type: ignore[attr-defined]
        fused[node] = None
        fused[norm] = Node(
            op,
            [node.inputs[0], *_folded_parameters(node, norm)],
            [norm.outputs[0]],
            node.name,
            node.segment,
        )
    return _rewrite(graph, fused)


def _folded_parameters(node: Node, norm: Node) -> list[Tensor]:
    """Return weight and bias of the convolution with the batch norm in them."""
    weight = node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    gamma, beta, mean, variance = norm.inputs[1:5]
    eps: float = norm.op.eps  # type: ignore[attr-defined]

    def scale(values: Mapping[str, np.ndarray]) -> np.ndarray:
        return values[gamma.name] / np.sqrt(values[variance.name] + np.float32(eps))

    def folded_weight(values: Mapping[str, np.ndarray]) -> np.ndarray:
        return values[weight.name] * scale(values)[:, None, None, None]

    def folded_bias(values: Mapping[str, np.ndarray]) -> np.ndarray:
        before = values[bias.name] if bias else np.float32(0)
        return (before - values[mean.name]) * scale(values) + values[beta.name]

    def derived(
        source: Tensor, name: str, derive: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    ) -> Tensor:
        return replace(source, name=f"{node.name}.{name}", kind="parameter", derive=derive)

    return [derived(weight, "weight", folded_weight), derived(beta, "bias", folded_bias)]


def _fuse_residual(graph: Graph) -> Graph:
    """Let the convolution that feeds an addition, the later of two, add the other operand."""
    readers = _consumers(graph)
    position = {node: index for index, node in enumerate(graph.nodes)}
    producer = {tensor: node for node in graph.nodes for tensor in node.outputs}
    fused: dict[Node, Node | None] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Add):
            continue
        convolutions = [
            producer[tensor]
            for tensor in node.inputs
            if tensor in producer
            and isinstance(producer[tensor].op, Conv)
            and not producer[tensor].op.activation  # type: ignore[attr-defined]
            and _only_reader(graph, readers, tensor, Add)
        ]
        if not convolutions or node.inputs[0] is node.inputs[1]:
            continue
        last = max(convolutions, key=position.__getitem__)
        other = node.inputs[1 if node.inputs[0] is last.outputs[0] else 0]
        op = replace(last.op, residual=True, activation=node.op.activation)  # type: ignore[type-var]
        fused[last] = None
        fused[node] = replace(last, op=op, inputs=[*last.inputs, other], outputs=node.outputs)
    return _rewrite(graph, fused)


def _cast_inputs(graph: Graph, precision: str) -> Graph:
    """Take f32 inputs and turn them into bf16 by a node of the graph."""
    real = [tensor for tensor in graph.inputs.values() if tensor.type.dtype == "real"]
    if precision == "f32" or not real:
        return graph
    inputs, casts = dict(graph.inputs), []
    for tensor in real:
        source = Tensor(TensorType(tensor.shape, "float32"), tensor.name, "input")
        inputs[tensor.name] = source
        casts.append(Node(Cast(), [source], [tensor], f"{tensor.name}.cast"))
    return replace(graph, inputs=inputs, nodes=[*casts, *graph.nodes])
