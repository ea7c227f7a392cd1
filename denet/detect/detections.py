"""Detections of many images in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """One row for each object that was found, as columns; images and rows in any order."""

    image: np.ndarray  # (d,) int64: row of the batch, or index of the image in its dataset
    class_index: np.ndarray  # (d,) int32
    score: np.ndarray  # (d,) float32
    box: np.ndarray  # (d, 4) float32: x0, y0, x1, y1

    def __len__(self) -> int:
        return len(self.image)

    def take(self, which: np.ndarray | slice) -> Detections:
        """Return these rows: indices, a mask (d,), or a range."""
        columns = self.image, self.class_index, self.score, self.box
        return Detections(*(column[which] for column in columns))

    def best_first(self) -> Detections:
        """Return the rows of one image after the other, each image from its best down."""
        return self.take(np.lexsort((-self.score, self.image)))

    def by_image(self, image_num: int) -> Iterator[Detections]:
        """Yield the detections of image 0, 1, ..., each from the best down; none is a table too."""
        ordered = self.best_first()
        start = np.searchsorted(ordered.image, np.arange(image_num + 1)).tolist()
        for first, last in zip(start[:-1], start[1:], strict=True):
            yield ordered.take(slice(first, last))

    def rows(self) -> Iterator[tuple[int, int, float, list[float]]]:
        """Yield image, class index, score and box of each row as Python numbers."""
        columns = self.image, self.class_index, self.score, self.box
        return zip(*(column.tolist() for column in columns), strict=True)


def joined(parts: Sequence[Detections]) -> Detections:
    """Return all rows of all parts."""
    empty = Detections(
        np.empty(0, np.int64),
        np.empty(0, np.int32),
        np.empty(0, np.float32),
        np.empty((0, 4), np.float32),
    )
    parts = [empty, *parts]
    return Detections(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.class_index for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.box for part in parts]),
    )
