"""Where to cut a network whose segments are computed twice: where little passes on.

With m values of like size and segments of sqrt(m), sqrt(m) values are kept and as many live at once
(Chen et al. 2016, arXiv 1604.06174, section 4).
"""

from __future__ import annotations

from itertools import accumulate

from denet.graph.graph import Graph, Tensor
from denet.graph.op.activation import Activation

REACH = 0.5  # of a segment: how far a cut may move from where the parts would be equal


def cut(graph: Graph, parts: int) -> None:
    """Cut a graph into so many segments of about as many elements each, or fewer.

    Each cut is where the fewest elements pass, and not before an activation, which is fused. They
    take the place of those that the graph has.
    """
    assert parts > 0, parts
    made = list(accumulate(_elements(node.outputs) for node in graph.nodes))
    passing = _passing(graph)
    cuts = set()
    for number in range(1, parts):
        wanted, reach = made[-1] * number / parts, made[-1] / parts * REACH
        near = [
            (passing[place], abs(made[place - 1] - wanted), place)
            for place in range(1, len(graph.nodes))
            if abs(made[place - 1] - wanted) <= reach
            and not isinstance(graph.nodes[place].op, Activation)
        ]
        if near:
            cuts.add(min(near)[-1])
    graph.segment = 0
    for place, node in enumerate(graph.nodes):
        graph.segment += place in cuts
        node.segment = graph.segment


def _passing(graph: Graph) -> list[int]:
    """Return for each node how many elements made before it are read by it or later."""
    last: dict[Tensor, int] = {}
    first: dict[Tensor, int] = {}
    for place, node in enumerate(graph.nodes):
        first.update(dict.fromkeys(node.outputs, place))
        last.update((tensor, place) for tensor in node.inputs if tensor in first)
    change = [0] * (len(graph.nodes) + 1)
    for tensor, end in last.items():
        change[first[tensor] + 1] += tensor.type.size
        change[end + 1] -= tensor.type.size
    return list(accumulate(change))


def _elements(tensors: list[Tensor]) -> int:
    return sum(tensor.type.size for tensor in tensors)
