"""Graph to graph: wide layers are split over the ranks that train the network together.

Convolutions have few weights and large maps: there ranks send each other gradients of weights.
Fully connected layers have many weights and small maps: there they send each other the maps.
(Krizhevsky 2014, arXiv 1404.5997, section 4, scheme a.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from denet.errors import UsageError
from denet.graph.graph import Graph, Node, Tensor
from denet.graph.op.conv import Conv
from denet.graph.op.gather_rows import GatherRows
from denet.graph.op.scatter_columns import ScatterColumns
from denet.graph.ranks import Ranks
from denet.graph.tensor_type import TensorType


def shard(graph: Graph, above: int, most: int, ranks: Ranks) -> Graph:
    """Return the graph that a rank trains: of wide layers it has a part of the outputs alone.

    Wide is a layer with more than ``above`` parameters whose outputs each see the whole map, and
    are no fewer than the ranks. Its inputs come from all ranks (GatherRows), its outputs go back to
    those whose images they are of (ScatterColumns): layers before and behind it see no difference.
    No rank has more than ``most`` images in a batch; those that have fewer are made up with zeros.
    Parameters keep their names, and are cut out of the whole ones when they are loaded. Raises
    UsageError where no layer is wide.
    """
    wide = {node for node in graph.nodes if _is_full(node, ranks) and _size(node) > above}
    if not wide:
        sizes = [_size(node) for node in graph.nodes if _is_full(node, ranks)]
        largest = f"the largest has {max(sizes):,}: give less" if sizes else "there is none"
        raise UsageError(
            f"--shard-above: {above:,}: no fully connected or class layer with at least "
            f"{ranks.count} outputs has more parameters; {largest}, or leave it out"
        )
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _split(node, most, ranks) if node in wide else [node]
    used = {tensor.name: tensor for node in nodes for tensor in node.inputs}
    parameters = {name: used.get(name, tensor) for name, tensor in graph.parameters.items()}
    return replace(graph, nodes=nodes, parameters=parameters)


def part_of(outputs: int, rank: int, count: int) -> slice:
    """Return which of so many outputs a rank has; parts differ by one at most."""
    return slice(outputs * rank // count, outputs * (rank + 1) // count)


def _is_full(node: Node, ranks: Ranks) -> bool:
    """Say whether each output of a node, of enough of them, sees the whole map."""
    if not isinstance(node.op, Conv):
        return False
    x, weight = node.inputs[:2]
    whole = weight.shape[2:] == x.shape[1:3] and not np.any(node.op.padding)
    return whole and node.op.groups == 1 and weight.shape[0] >= ranks.count


def _size(node: Node) -> int:
    """Return the number of parameters of a node."""
    return sum(tensor.type.size for tensor in node.inputs[1:])


def _split(node: Node, most: int, ranks: Ranks) -> list[Node]:
    """Return what computes a node with the parameters of this rank's outputs alone."""
    (x, *parameters), (y,) = node.inputs, node.outputs
    parts = [part_of(y.shape[3], rank, ranks.count) for rank in range(ranks.count)]
    widths = tuple(part.stop - part.start for part in parts)
    gather = GatherRows(x.shape[0], most, ranks)
    scatter = ScatterColumns(x.shape[0], most, widths, ranks)
    own = [_cut(tensor, parts[ranks.rank]) for tensor in parameters]
    rows = Tensor(gather.infer(x.type)[0], f"{node.name}.rows")
    inputs = [rows, *own]
    columns = Tensor(node.op.infer(*(each.type for each in inputs))[0], f"{node.name}.columns")
    return [
        Node(gather, [x], [rows], rows.name, node.segment),
        replace(node, inputs=inputs, outputs=[columns]),
        Node(scatter, [columns], [y], columns.name, node.segment),
    ]


def _cut(tensor: Tensor, part: slice) -> Tensor:
    """Return a parameter of which only these rows are there."""
    type_ = TensorType((part.stop - part.start, *tensor.shape[1:]), tensor.type.dtype)

    def own(values: Mapping[str, np.ndarray]) -> np.ndarray:
        return values[tensor.name][part]

    return replace(tensor, type=type_, derive=own)
