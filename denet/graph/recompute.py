"""What a training step computes a second time in backward, so that it need not be kept.

The second pass is the same calls on the same numbers, so results are equal to the last bit; running
averages see the first pass only. (Chen et al. 2016, arXiv 1604.06174; for dense blocks Pleiss et
al. 2017, arXiv 1707.06990.)
"""

from __future__ import annotations

from denet.graph.graph import Graph, Node, Tensor
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.cast import Cast
from denet.graph.op.concat import Concat
from denet.graph.op.first_channels import FirstChannels
from denet.graph.op.local_response import LocalResponse
from denet.graph.op.pool import Pool

# ops that go over their input once or twice: little beside the convolutions around them
CHEAP = (Activation, BatchNorm, Cast, Concat, LocalResponse, Pool)
MOST_SUMS = 4  # of which each brings one map back: on ResNet-34 more of them save little

CHOICES = {
    "none": "nothing: every value that backward reads is kept",
    "segments": "all that stands between two SPLIT, but behind the last",
    "cheap": "that, and batch norms, activations, poolings and concatenations everywhere",
}


def repeated(graph: Graph, choice: str) -> tuple[dict[Node, Node], set[Tensor]]:
    """Return the nodes that run again in backward, and those of their outputs that are kept.

    Each node comes with what runs in its place, mostly itself. What other segments read of a
    segment is kept.
    """
    assert choice in CHOICES, choice
    if choice == "none":
        return {}, set()
    last = max((node.segment for node in graph.nodes), default=0)
    nodes = {node for node in graph.nodes if node.segment < last}
    if choice == "cheap":
        nodes |= {node for node in graph.nodes if isinstance(node.op, CHEAP)}
    segment = {tensor: node.segment for node in graph.nodes for tensor in node.outputs}
    kept = {
        tensor
        for node in graph.nodes
        for tensor in node.inputs
        if segment.get(tensor, node.segment) != node.segment
    }
    again = {node: node for node in nodes}
    if choice == "cheap":
        again |= {node: node for node in _short_sums(graph, nodes)}
        for node, part in _grown(graph, last).items():
            if part:
                again[node] = part
            else:
                del again[node]
    return again, kept


def _grown(graph: Graph, segment: int) -> dict[Node, Node | None]:
    """Return the concatenations that grow from one to the next, as in a dense block.

    The last of each row, with None, holds all others: it is kept, and they are taken out of it
    again as its first channels. Rows of a single one are left out.
    """
    nodes = {
        node.outputs[0]: node
        for node in graph.nodes
        if isinstance(node.op, Concat) and node.segment == segment
    }
    found: dict[Node, Node | None] = {}
    for tensor, node in reversed(nodes.items()):
        before = nodes.get(node.inputs[0])
        if before is None or before in found:
            continue
        part = found.setdefault(node, None)
        whole = part.inputs[0] if part else tensor
        taken = before.outputs[0]
        op = FirstChannels(taken.shape[3])
        found[before] = Node(op, [whole], [taken], f"{before.name}.part", segment)
    return found


def _short_sums(graph: Graph, repeated: set[Node]) -> set[Node]:
    """Return the additions to repeat: a sum of sums of sums would bring all of them back at once.

    Each that would need MOST_SUMS others is kept.
    """
    sums: dict[Tensor, int] = {}  # additions to repeat for a tensor
    found = set()
    for node in graph.nodes:
        needed = max((sums.get(tensor, 0) for tensor in node.inputs), default=0)
        if isinstance(node.op, Add) and needed < MOST_SUMS:
            found.add(node)
            needed += 1
        elif node not in repeated:
            needed = 0
        sums.update(dict.fromkeys(node.outputs, needed))
    return found
