"""Which of other boxes each box overlaps most, such as detections and known objects."""

from __future__ import annotations

import numpy as np

from denet.detect.box import iou

PAIRS = 1 << 20  # of boxes that are compared together


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
