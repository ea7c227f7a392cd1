"""What ops know of the processes that train one network together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Ranks(Protocol):
    """``count`` processes, of which this is number ``rank``; each has images of its own."""

    rank: int
    count: int
    share: float  # of the images in hand here among those of the whole step, 0 if none counts

    def trade(
        self, parts: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]
    ) -> list[np.ndarray]:
        """Give each rank its one of ``parts``; return what each gave to this one, of ``shapes``.

        All ranks trade as often as the others, in the same order.
        """
        ...
