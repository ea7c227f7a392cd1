"""nRSN: several residual blocks, a shorthand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from denet.kind import FILTERS, LENGTH, Integer
from denet.layer.activation import ACTIVATION
from denet.layer.base import Layer, declarations
from denet.layer.declare import argument, option, tag
from denet.layer.residual import ORIGINAL, WINDOW_STRIDE, ZEROS, Residual, check_stride

NUM = Integer(1, 1000)


@dataclass(kw_only=True)
class Residuals(Layer):
    """Several residual blocks, one layer each; only the first has the stride."""

    symbol = "nRSN"

    num: int = argument(NUM, "of blocks")
    filters: int = argument(FILTERS, "output channels")
    size: int = argument(Integer(1, 1023, odd=True), "of the window")
    stride: int = argument(LENGTH, "of the first block", 1)
    bottleneck: int = argument(Integer(0, 65536), "channels between two 1x1 convolutions", 0)
    original: bool = tag("O", ORIGINAL)
    window_stride: bool = tag("S", WINDOW_STRIDE)
    zeros: bool = tag("Z", ZEROS)
    activation: str = option(ACTIVATION, "the function", "relu")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stride(self)

    def expand(self) -> list[Layer]:
        values = vars(self) | {"stride": 1}
        del values["num"]
        first = Residual(**values | {"stride": self.stride})
        return [first, *(Residual(**values) for _ in range(self.num - 1))]

    @classmethod
    def collapse(cls, layers: Sequence[Layer]) -> tuple[Layer, int] | None:
        first = layers[0]
        if not isinstance(first, Residual):
            return None
        repeated = replace(first, stride=1)
        num = 1 + len(list(takewhile(lambda layer: layer == repeated, layers[1 : NUM.high])))
        if num == 1:
            return None
        shared = {name: getattr(first, name) for name in declarations(cls) if name != "num"}
        return cls(num=num, **shared), num
