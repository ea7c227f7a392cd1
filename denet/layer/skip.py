"""SKIP: add or append a marked map."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.add import Add
from denet.graph.op.concat import Concat
from denet.layer.base import Layer
from denet.layer.convolution import convolve
from denet.layer.declare import argument, tag
from denet.layer.skip_source import INDEX


@dataclass(kw_only=True)
class Skip(Layer):
    """Add the map that SKIPSRC[index] marked.

    Where its channels differ, a 1x1 convolution without bias (he-backward weights) projects it.
    """

    symbol = "SKIP"
    type_name = "skip"

    index: int = argument(INDEX, "of the mark", 0)
    concatenate: bool = tag("C", "append the channels of the marked map instead")

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if self.index not in graph.taps:
            known = ", ".join(str(index) for index in sorted(graph.taps)) or "none"
            raise DescriptionError(
                f"no SKIPSRC[{self.index}] stands before it (marked so far: {known})"
            )
        tap = graph.taps[self.index]
        if tap.shape[:3] != x.shape[:3]:
            raise DescriptionError(
                f"the marked map {list(tap.shape[1:])} and this one {list(x.shape[1:])} (height, "
                "width, channels) differ in size: give an image size that can be halved as often "
                "as the network does (a multiple of 32 mostly can), or use a pooling or PI"
            )
        if not self.concatenate and tap.shape != x.shape:
            with graph.scope("conv"):
                tap = convolve(graph, tap, x.shape[3], (1, 1))
        y: Tensor = graph.apply(Concat() if self.concatenate else Add(), x, tap)
        return y
