"""LRN: local response normalisation."""

from __future__ import annotations

from dataclasses import dataclass

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.local_response import LocalResponse
from denet.kind import Integer, Real
from denet.layer.base import Layer
from denet.layer.convolution import GROUPS
from denet.layer.declare import argument


@dataclass(kw_only=True)
class LocalResponseNormalisation(Layer):
    """Local response normalisation: divide each channel by what it and its neighbours say.

    y = x / (kappa + alpha * sum of x^2 over ``size`` neighbouring channels)^beta (Krizhevsky et al.
    2012, section 3.3). The alpha of Caffe and PyTorch is ``size`` times as large.
    """

    symbol = "LRN"
    type_name = "local-response"

    size: int = argument(Integer(1, 1023, odd=True), "channels of the sum", 5)
    kappa: float = argument(Real(0.0, 1e6, above=True), "added to the sum", 2.0)
    alpha: float = argument(Real(0.0, 1e6), "factor of the sum", 1e-4)
    beta: float = argument(Real(0.0, 1e3), "exponent", 0.75)
    groups: int = argument(GROUPS, "parts of the channels that do not see each other", 1)

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        if x.shape[3] % self.groups:
            raise DescriptionError(
                f"{x.shape[3]} channels cannot be parted into {self.groups} groups"
            )
        op = LocalResponse(self.size, self.kappa, self.alpha, self.beta, self.groups)
        y: Tensor = graph.apply(op, x)
        return y
