"""Where networks are cut that compute their segments twice."""

from __future__ import annotations

import pytest

from denet.graph.cut import cut
from denet.graph.graph import Graph
from denet.graph.op.activation import Activation
from denet.layer.options import LayerOptions
from denet.model.model import Model


def graph_of(text: str) -> Graph:
    return Model.create(text, (3, 32, 32), ["a", "b"], LayerOptions(border_mode="half")).graph(1)


def test_cuts_are_where_little_passes() -> None:
    """Of maps of 4, 1, 4 and 4 channels the second is nearest to the middle, and smallest."""
    graph = graph_of("C.B[4,3] C.B[1,3] C.B[4,3] C.B[4,3] P.A R")
    cut(graph, 2)
    assert [node.segment for node in graph.nodes[:4]] == [0, 0, 1, 1]


def test_no_cut_parts_what_is_fused() -> None:
    graph = graph_of("C[4,3] BN A C[4,3] BN A C[4,3] BN A C[4,3] BN A P.A R")
    cut(graph, 4)
    first = [
        node
        for before, node in zip(graph.nodes, graph.nodes[1:], strict=False)
        if before.segment != node.segment
    ]
    assert len(first) == 3 and not any(isinstance(node.op, Activation) for node in first)


@pytest.mark.parametrize("parts", [1, 2, 5, 100])
def test_there_are_at_most_so_many_segments_and_none_is_empty(parts: int) -> None:
    graph = graph_of("C.B[4,3] BN A SKIPSRC SPLIT C.B[4,3] BN A SKIP C.B[8,3,2] BN A P.A R")
    cut(graph, parts)
    segments = [node.segment for node in graph.nodes]
    assert segments == sorted(segments)
    assert set(segments) == set(range(graph.segment + 1)) and graph.segment < parts
