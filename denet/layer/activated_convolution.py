"""The convolution of dense networks, behind normalisation and activation."""

from __future__ import annotations

from typing import Protocol

from denet.graph.graph import Graph, Tensor
from denet.graph.op.dropout import Dropout
from denet.layer.activation import activate
from denet.layer.base import salt
from denet.layer.batch_norm import normalise
from denet.layer.border_mode import padding
from denet.layer.convolution import convolve


class Settings(Protocol):
    """What a layer of such convolutions has set."""

    dropout: float
    activation: str
    bn_enabled: bool
    bn_momentum: float
    bn_eps: float


def convolve_activated(
    graph: Graph, x: Tensor, layer: Settings, number: str, filters: int, size: int
) -> Tensor:
    """Add normalisation, activation, convolution and dropout as ``layer`` has them set."""
    if layer.bn_enabled:
        with graph.scope(f"bn{number}"):
            x = normalise(graph, x, layer.bn_momentum, layer.bn_eps)
    x = activate(graph, x, layer.activation)
    with graph.scope(f"conv{number}"):
        sides = padding("half", size)
        y = convolve(graph, x, filters, (size, size), padding=(sides, sides))
        return graph.apply(Dropout(layer.dropout, salt(graph)), y) if layer.dropout else y
