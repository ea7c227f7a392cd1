"""Non-maximum suppression: of boxes that show the same object, keep or favour the best.

Boxes compete within their group only, such as a class of an image. All groups advance together:
each round settles the best box that is left of every group, so many groups cost little more than
one. A threshold that is not between 0 and 1 turns suppression off.
"""

from __future__ import annotations

import numpy as np

from denet.detect.box import area

LEAST_LOG_SCORE = -6.9  # soft suppression drops what falls below: a score of about 0.001


def active(threshold: float) -> bool:
    """Say whether this threshold suppresses anything."""
    return 0 < threshold < 1


def greedy_nms(
    box: np.ndarray, score: np.ndarray, group: np.ndarray, threshold: float
) -> np.ndarray:
    """Return the sorted indices of the boxes that stay, of box (n, 4), score (n,), group (n,) int.

    A box goes if a better one of its group that stays overlaps it by an IoU above ``threshold``;
    of equal scores the first is the better. (DeNet of 2017 also let boxes be suppressed by such as
    were themselves suppressed, and kept both of equal ones.)
    """
    if not active(threshold):
        return np.arange(len(box))
    rest = np.lexsort((-score, group))  # groups together, each from its best box down
    sides, group = _sides(box[rest]), group[rest]
    kept = []
    while len(rest):
        best, owner = _firsts(group)
        kept.append(rest[best])
        left = _iou(sides, sides[:, best[owner]]) <= threshold
        left[best] = False
        rest, sides, group = rest[left], sides[:, left], group[left]
    return np.sort(np.concatenate(kept)) if kept else rest


def soft_nms(
    box: np.ndarray, score: np.ndarray, group: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted indices of the boxes that stay, and their new scores.

    From the best box down, each lowers those of its group that come after it: log score -=
    IoU^2 / threshold; what falls below LEAST_LOG_SCORE goes (Soft-NMS with the Gaussian penalty).
    """
    if not active(threshold):
        return np.arange(len(box)), score
    rest = np.argsort(group, kind="stable")
    rest = rest[score[rest] > 0]
    sides, group, log_score = _sides(box[rest]), group[rest], np.log(score[rest])
    kept, kept_score = [], []
    while len(rest):
        start, owner = _firsts(group)
        is_best = log_score == np.maximum.reduceat(log_score, start)[owner]
        best = np.flatnonzero(is_best)
        best = best[_firsts(group[best])[0]]  # the first where several are equally good
        kept.append(rest[best])
        kept_score.append(np.exp(log_score[best]))
        log_score = log_score - _iou(sides, sides[:, best[owner]]) ** 2 / threshold
        left = log_score >= LEAST_LOG_SCORE
        left[best] = False
        rest, sides = rest[left], sides[:, left]
        group, log_score = group[left], log_score[left]
    if not kept:
        return rest, score[rest]
    stay = np.concatenate(kept)
    order = np.argsort(stay)
    return stay[order], np.concatenate(kept_score)[order]


def _firsts(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each run of equal groups starts, and the number of its run for each element."""
    is_first = np.ones(len(group), bool)
    is_first[1:] = group[1:] != group[:-1]
    return np.flatnonzero(is_first), np.cumsum(is_first) - 1


def _sides(box: np.ndarray) -> np.ndarray:
    """Return x0, y0, x1, y1 and area as rows (5, n), which is the faster way to go through them."""
    return np.concatenate([box.T, area(box)[None]])


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the IoU (n,) of each box of (5, n) sides with the one in the same place."""
    low = np.maximum(first[:2], second[:2])
    width, height = np.maximum(np.minimum(first[2:4], second[2:4]) - low, 0)
    shared = width * height
    union = first[4] + second[4] - shared
    return shared / np.maximum(union, np.finfo(union.dtype).tiny)
