"""A set of small images that lies on a device: a batch of it is a few numbers for each sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from denet.dataset.base import Dataset
from denet.dataset.feed import Feed
from denet.dataset.image.distort import Distortion, draw_moves

_PART_BYTES = 1 << 24  # that are copied at a time


class Resident:
    """The stored images of ``dataset`` in the memory of a device, from where batches are picked.

    ``rows`` are the factors of ``Pixels``. Nothing but mirroring and offsets may be asked for.
    """

    def __init__(
        self,
        dataset: Dataset,
        distortions: Sequence[Distortion],
        feed: Feed,
        rows: tuple[np.ndarray, np.ndarray],
    ):
        self._dataset, self._distortions = dataset, distortions
        self._feed, self._rows = feed, rows
        self._kept = feed.keep(stored_shape(dataset), _parts(dataset))

    def moves(self, indices: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return for samples what ``Feed.pick`` takes: (n, 4) int32."""
        mirrored, down, right = draw_moves(self._distortions, keys)
        stored = self._dataset.stored_num
        mirrored = mirrored ^ (indices >= stored)
        return np.stack([indices % stored, down, right, mirrored], axis=1, dtype=np.int32)

    def pick(self, moves: np.ndarray) -> Any:
        """Return the batch that moves make."""
        return self._feed.pick(self._kept, moves, *self._rows)


def stored_shape(dataset: Dataset) -> tuple[int, int, int, int]:
    """Return (N, h, w, c) of the stored images."""
    channels, height, width = dataset.shape
    return dataset.stored_num, height, width, channels


def _parts(dataset: Dataset) -> Iterator[np.ndarray]:
    step = max(1, _PART_BYTES // math.prod(dataset.shape))
    for start in range(0, dataset.stored_num, step):
        yield dataset.read(np.arange(start, min(start + step, dataset.stored_num)))
