"""The objects that are known to be in the images of a dataset, and which of them were met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from denet.detect.box import iou

PAIRS = 1 << 20  # of boxes that are compared together


class Truth(Protocol):
    """Known objects as columns, those of one image after the other.

    Boxes are x0, y0, x1, y1 in pixels, from 0, x1 and y1 just outside.
    """

    @property
    def boxes_px(self) -> np.ndarray: ...  # (t, 4) float32

    @property
    def box_class(self) -> np.ndarray: ...  # (t,) int32

    @property
    def difficult(self) -> np.ndarray: ...  # (t,) bool: to find it or not counts neither way

    @property
    def crowd(self) -> np.ndarray: ...  # (t,) bool: one box around many objects

    @property
    def start(self) -> np.ndarray: ...  # (images + 1,): those of image i are start[i]:start[i + 1]

    @property
    def sizes(self) -> np.ndarray: ...  # (images, 2) int32: width, height

    @property
    def image_ids(self) -> Sequence[str | int]: ...


def box_image(truth: Truth) -> np.ndarray:
    """Return the image (t,) of each known object."""
    return np.repeat(np.arange(len(truth.start) - 1), np.diff(truth.start))


def best_overlap(
    key: np.ndarray, box: np.ndarray, other_key: np.ndarray, other_box: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of n boxes the largest IoU with another box of its key, and which that is.

    key (n,) and other_key (m,) int, box (n, 4) and other_box (m, 4). Of equally large ones the
    first counts; where there is no other box of this key the IoU is 0 and the index -1.
    """
    order = np.argsort(other_key, kind="stable")
    first, last = (np.searchsorted(other_key[order], key, side) for side in ("left", "right"))
    number = last - first
    best, which = np.zeros(len(key)), np.full(len(key), -1)
    some = np.flatnonzero(number)
    ends = np.cumsum(number[some])
    cuts = np.searchsorted(ends, np.arange(PAIRS, ends[-1], PAIRS)) if len(ends) else 1
    for rows in np.split(some, cuts):
        if not len(rows):
            continue
        start = np.cumsum(number[rows]) - number[rows]  # of the pairs of each row
        owner = np.repeat(np.arange(len(rows)), number[rows])
        other = order[first[rows][owner] + np.arange(len(owner)) - start[owner]]
        one, two = (
            each.astype(np.float64)[:, None] for each in (box[rows][owner], other_box[other])
        )
        overlap = iou(one, two)[:, 0, 0]
        best[rows] = np.maximum.reduceat(overlap, start)
        largest = np.flatnonzero(overlap == best[rows][owner])
        which[rows] = other[largest[np.unique(owner[largest], return_index=True)[1]]]
    return best, which
