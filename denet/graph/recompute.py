"""What a training step computes a second time in backward, so that it need not be kept.

The second pass is the same calls on the same numbers, so results are equal to the last bit; running
averages see the first pass only. (Chen et al. 2016, arXiv 1604.06174; for dense blocks Pleiss et
al. 2017, arXiv 1707.06990.)
"""

from __future__ import annotations

from typing import NamedTuple

from denet.graph.graph import Graph, Node, Tensor
from denet.graph.op.activation import Activation
from denet.graph.op.add import Add
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.cast import Cast
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
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
    "half": "that, and convolutions of which the one before is kept",
}


class Saving(NamedTuple):
    """A choice, and the number of segments to cut the network into instead of those of SPLIT."""

    choice: str
    parts: int | None = None

    def text(self) -> str:
        """Return it in words."""
        cuts = f", in {self.parts} segments" if self.parts else ""
        return f"--recompute {self.choice}{cuts}"


# by how much is computed twice
LADDER = (*map(Saving, CHOICES), *(Saving("half", 2**n) for n in range(1, 5)))


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
    everywhere = choice in ("cheap", "half")
    if everywhere:
        nodes |= {node for node in graph.nodes if isinstance(node.op, CHEAP)}
    segment = {tensor: node.segment for node in graph.nodes for tensor in node.outputs}
    kept = {
        tensor
        for node in graph.nodes
        for tensor in node.inputs
        if segment.get(tensor, node.segment) != node.segment
    }
    again = {node: node for node in nodes}
    if everywhere:
        grown = _grown(graph, last)
        chains = _short_chains(graph, nodes - grown.keys(), choice == "half")
        again |= {node: node for node in chains}
        again |= {node: part for node, part in grown.items() if part}
        again = {node: run for node, run in again.items() if grown.get(node, run)}
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


def _short_chains(graph: Graph, repeated: set[Node], convolutions: bool) -> set[Node]:
    """Return the additions to repeat, and convolutions if asked for, one behind the other at most.

    A sum of sums of sums would bring all of them back at once: each that would need MOST_SUMS
    others is kept, and likewise each convolution that would need another one.
    """
    needed: dict[Tensor, tuple[int, int]] = {}  # sums and convolutions to repeat for a tensor
    found = set()
    for node in graph.nodes:
        before = [needed.get(tensor, (0, 0)) for tensor in node.inputs]
        sums, products = (max(counts, default=0) for counts in zip(*before, strict=True))
        if isinstance(node.op, Add) and sums < MOST_SUMS:
            found.add(node)
            sums += 1
        elif convolutions and isinstance(node.op, Conv | Deconv) and not products:
            found.add(node)
            products = 1
        elif node not in repeated:
            sums = products = 0
        needed.update(dict.fromkeys(node.outputs, (sums, products)))
    return found
