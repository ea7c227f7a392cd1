"""From corners to the boxes that detection looks at: the samples of an image."""

from __future__ import annotations

import numpy as np

from denet.detect.box import area, iou
from denet.detect.corner import cell_edges, find_boxes

CLUSTERED = 10  # boxes per sample that are looked at where boxes are clustered
BLOCK = 256  # boxes that are compared with all others at a time


def find_samples(
    log_odds: np.ndarray,
    count: int,
    corner_threshold: float,
    local_max: int = 0,
    nms_threshold: float = 1.0,
    *,
    corner_max: int,
) -> np.ndarray:
    """Return the ``count`` best boxes (m, 4) of a map of log odds (h, w, k), the best first.

    They are ranked by naive Bayes, 1 / (1 + exp(pf - pt)), where pt sums log P(corner) over the
    corners of a box and pf log P(no corner). (DeNet of 2017 took |pf - pt|, which turns the order
    of likely boxes around.) With ``nms_threshold`` below 1 they are the best of clusters.
    """
    height, width, _ = log_odds.shape
    many = looked_at(count, nms_threshold)
    cell, _ = find_boxes(log_odds, many, corner_threshold, local_max, corner_max=corner_max)
    edges = cell_edges(cell).astype(log_odds.dtype)
    if nms_threshold < 1 and len(edges) > count:
        edges = edges[best_of_clusters(edges, count, nms_threshold)]
    return edges / np.array([width, height] * 2, edges.dtype)


def looked_at(count: int, nms_threshold: float) -> int:
    """Return how many boxes the search looks at for ``count`` samples: more where they cluster."""
    return count * CLUSTERED if nms_threshold < 1 else count


def best_of_clusters(box: np.ndarray, count: int, threshold: float) -> np.ndarray:
    """Return the indices of ``count`` boxes or fewer of box (m, 4), m > count, the best first.

    Boxes of an IoU above ``threshold`` belong to one cluster, and so do their neighbours (single
    linkage). The ``count`` biggest clusters give 1 + floor(n r) of their n boxes each, with
    r = (count - clusters) / (m - clusters), or 1 where there are more clusters than ``count``.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    one, other = overlapping(box, threshold)
    links = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(len(box), len(box)))
    cluster_num, cluster = connected_components(links, directed=False)
    _, first, size = np.unique(cluster, return_index=True, return_counts=True)
    share = np.zeros(cluster_num, np.int64)
    biggest = np.lexsort((first, -size))[:count]
    share[biggest] = 1
    if cluster_num < count:
        share += size * (count - cluster_num) // (len(box) - cluster_num)
    by_cluster = np.argsort(cluster, kind="stable")
    rank = np.empty(len(box), np.int64)
    rank[by_cluster] = np.arange(len(box)) - np.repeat(np.cumsum(size) - size, size)
    return np.flatnonzero(rank < share[cluster])[:count]


def overlapping(box: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices (k,), (k,) of all pairs of boxes (m, 4) whose IoU is above ``threshold``.

    The IoU is at most the ratio of the areas, so each box meets only those of a similar area.
    """
    order = np.argsort(area(box), kind="stable")
    box = box[order]
    sizes = area(box)
    one, other = [], []
    for start in range(0, len(box), BLOCK):
        part = slice(start, start + BLOCK)
        end = np.searchsorted(sizes * threshold, sizes[part][-1], side="right")
        row, column = np.nonzero(iou(box[part], box[start:end]) > threshold)
        above = column > row
        one.append(order[start + row[above]])
        other.append(order[start + column[above]])
    return np.concatenate(one), np.concatenate(other)


def with_random(
    box: np.ndarray, count: int, fraction: float, generator: np.random.Generator
) -> np.ndarray:
    """Return ``count`` boxes: at random count - floor(fraction count) of these, then random ones.

    Those keep their order; a random box has x0 ~ U(0, 1), x1 ~ U(x0, 1), y alike.
    """
    kept = count - int(fraction * count)
    if len(box) > kept:
        chosen = np.sort(generator.choice(len(box), kept, replace=False, shuffle=False))
        box = box[chosen]
    low, share = np.split(generator.random((count - len(box), 4)), 2, axis=1)
    other = np.concatenate([low, low + share * (1 - low)], axis=1)
    return np.concatenate([box, other.astype(box.dtype)])
