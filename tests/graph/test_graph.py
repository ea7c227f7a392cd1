"""Scopes of a graph."""

from denet.graph.graph import Graph
from denet.graph.initial import constant


def test_what_is_inside_a_frozen_scope_is_frozen():
    """So that a frozen block freezes the layers that it is made of; what follows is trained."""
    graph = Graph(1, 2)

    def add() -> None:
        weight = graph.parameter("weight", (1,), constant(0.0))
        graph.update(graph.state("mean", (1,), constant(0.0)), weight, 0.9)

    for name, frozen in (("block", True), ("next", False)):
        with graph.scope(name, frozen):
            add()
            with graph.scope("inner"):
                add()
            with graph.scope("inner_frozen", True):
                add()
            with graph.scope("last"):
                add()
    assert {path for path, each in graph.parameters.items() if each.trainable} == {
        "next.weight",
        "next.inner.weight",
        "next.last.weight",
    }
    updated = {update.state.name for update in graph.updates}
    assert updated == {"next.mean", "next.inner.mean", "next.last.mean"}
