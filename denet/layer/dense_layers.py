"""nDL: several dense layers, a shorthand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from denet.kind import FILTERS, Integer
from denet.layer.activation import ACTIVATION
from denet.layer.base import Layer, declarations
from denet.layer.declare import argument, option
from denet.layer.dense import BOTTLENECK, DROPOUT, GROWTH, DenseLayer

NUM = Integer(1, 1000)


@dataclass(kw_only=True)
class DenseLayers(Layer):
    """Dense block: several dense layers, one layer each."""

    symbol = "nDL"

    num: int = argument(NUM, "of layers")
    growth: int = argument(FILTERS, GROWTH)
    bottleneck: int = argument(BOTTLENECK, "growths of channels between, 0 for none", 4)
    dropout: float = argument(DROPOUT, "probability to drop a value of a convolution", 0.0)
    activation: str = option(ACTIVATION, "the function", "relu")

    def expand(self) -> list[Layer]:
        values = dict(vars(self))
        num = values.pop("num")
        return [DenseLayer(**values) for _ in range(num)]

    @classmethod
    def collapse(cls, layers: Sequence[Layer]) -> tuple[Layer, int] | None:
        first = layers[0]
        if not isinstance(first, DenseLayer):
            return None
        num = len(list(takewhile(lambda layer: layer == first, layers[: NUM.high])))
        if num == 1:
            return None
        shared = {name: getattr(first, name) for name in declarations(cls) if name != "num"}
        return cls(num=num, **shared), num
