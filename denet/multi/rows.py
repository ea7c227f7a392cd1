"""The ranks as the layers see them that are split over ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from denet.graph.shard import part_of
from denet.multi.wire import Wire


class Rows:
    """What ``Ranks`` of the graph is, by a wire.

    ``share`` is that of the batch in hand. ``alone`` it hears nothing of the others, who are gone.
    """

    def __init__(self, wire: Wire):
        self._wire = wire
        self.rank, self.count = wire.rank, wire.ranks
        self.share, self.alone = 0.0, False

    def trade(
        self, parts: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]
    ) -> list[np.ndarray]:
        """Give each rank its one of ``parts``, float32; return what each gave to this one."""
        if self.alone:
            found = [np.zeros(shape, np.float32) for shape in shapes]
            found[self.rank][...] = parts[self.rank]
            return found
        sizes = [math.prod(shape) for shape in shapes]
        sent = np.concatenate([part.reshape(-1) for part in parts])
        received = self._wire.trade(sent, [part.size for part in parts], sizes)
        pieces = np.split(received, np.cumsum(sizes[:-1]))
        return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]

    def whole(self, own: np.ndarray, length: int) -> np.ndarray:
        """Return an array (length, ...) of which each rank has its part of the first axis."""
        found = np.empty((length, *own.shape[1:]), np.float32)
        each = math.prod(own.shape[1:])
        parts = [part_of(length, rank, self.count) for rank in range(self.count)]
        found[parts[self.rank]] = own
        counts = [each * (part.stop - part.start) for part in parts]
        self._wire.wait(self._wire.begin_gathering(found.reshape(-1), counts))
        return found
