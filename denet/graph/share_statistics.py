"""Graph to graph: batch norms take the statistics of all ranks that train the network together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denet.graph.graph import Graph, Tensor
from denet.graph.op.batch_norm import BatchNorm
from denet.graph.op.shared_batch_norm import SharedBatchNorm, SumOverRanks


def share_statistics(graph: Graph, sum_over_ranks: SumOverRanks) -> Graph:
    """Return the graph that a rank trains: mean and variance are those of the joined batch.

    Frozen layers are normalised so too; running statistics are those of the joined batch, and so
    are the same on each rank. It is what a plan is made of: a shared batch norm is fused and
    computed again like any other. Every rank runs its plan as often as the others, whatever for,
    and makes the same exchanges in the same order. Gradients of ranks belong together as their
    means, weighted by the images of each.
    """
    unbiased: dict[Tensor, Tensor] = {}
    nodes = []
    for node in graph.nodes:
        if isinstance(node.op, BatchNorm):
            variance = node.outputs[2]
            unbiased[variance] = Tensor(variance.type, f"{node.name}:3")
            op = SharedBatchNorm(node.op.eps, node.op.activation, sum_over_ranks=sum_over_ranks)
            node = replace(node, op=op, outputs=[*node.outputs, unbiased[variance]])
        nodes.append(node)
    updates = [
        replace(update, value=unbiased[update.value], scale=1.0)
        if update.value in unbiased
        else update
        for update in graph.updates
    ]
    return replace(graph, nodes=nodes, updates=updates)


def without_images(sum_over_ranks: SumOverRanks) -> SumOverRanks:
    """Return the exchange of a rank that has no image in a step: it runs any, which do not count.

    It takes part in every exchange, and its running statistics stay those of the others.
    """
    return lambda sums: sum_over_ranks(np.zeros_like(sums))
