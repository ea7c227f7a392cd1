"""From corners to samples: ranks, clusters and random boxes, worked by hand or one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denet.detect.box import iou
from denet.detect.sample import (
    best_of_clusters,
    find_samples,
    overlapping,
    with_random,
)


def map_of(boxes, height=8, width=8, corner_num=4):
    """Return log odds, -20 but at the corners of cell boxes: {(x0, y0, x1, y1): P of each}."""
    odds = np.full((height, width, corner_num), -20, np.float32)
    for (x0, y0, x1, y1), likely in boxes.items():
        points = [(y0, x0), (y0, x1), (y1, x0), (y1, x1), ((y0 + y1) // 2, (x0 + x1) // 2)]
        for kind in range(corner_num):
            odds[(*points[kind], kind)] = math.log(likely / (1 - likely))
    return odds


@pytest.mark.parametrize("corner_num", [4, 5])
def test_boxes_are_ranked_by_naive_bayes(corner_num):
    """DeNet of 2017 took |pf - pt|: there the surest box scored as the least likely one."""
    likely = {(0, 0, 2, 2): 0.9, (3, 3, 5, 7): 0.99, (6, 8, 8, 10): 0.2, (9, 11, 15, 15): 0.5}
    box = find_samples(map_of(likely, 16, 16, corner_num), 4, 0.05, corner_max=1024)
    expected = sorted(likely, key=lambda cell: -likely[cell])
    assert (box * 16 - [0, 0, 1, 1]).tolist() == [list(cell) for cell in expected]


def test_boxes_are_normalised_and_end_behind_their_last_cell():
    box = find_samples(map_of({(1, 2, 3, 5): 0.9}, height=8, width=16), 1, 0.5, corner_max=1024)
    assert box.tolist() == [[1 / 16, 2 / 8, 4 / 16, 6 / 8]]
    assert box.dtype == np.float32


def strips(*lengths):
    """Return boxes 0 0 length 1, whose IoU is the ratio of their lengths."""
    return np.array([(0, 0, length, 1) for length in lengths], np.float64)


CLUSTERS = [
    # name, boxes from the best down, count, threshold, indices that stay
    # m = 4, c = 2, r = (3 - 2) / (4 - 2): the cluster of 3 gives 1 + floor(3 / 2), the other 1
    ("two clusters", strips(10, 9, 8, 1), 3, 0.7, [0, 1, 3]),
    ("a chain is one cluster", strips(10, 8, 6.4, 5.12), 2, 0.7, [0, 1]),
    ("more clusters than count", strips(1, 100, 10, 99), 2, 0.7, [0, 1]),
    ("the biggest, then the best", strips(1, 10, 100, 99, 98), 2, 0.7, [0, 2]),
    ("single boxes only", strips(1, 10, 100), 2, 0.7, [0, 1]),
    ("as many clusters as count", strips(1, 100, 99, 98), 2, 0.7, [0, 1]),
    ("all equal", strips(5, 5, 5, 5, 5), 3, 0.9, [0, 1, 2]),
    ("just the threshold", strips(10, 5, 2), 2, 0.5, [0, 1]),
    ("any overlap", strips(10, 5, 2), 2, 0.0, [0, 1]),
]


@pytest.mark.parametrize(
    ("box", "count", "threshold", "expected"),
    [row[1:] for row in CLUSTERS],
    ids=[row[0] for row in CLUSTERS],
)
def test_clusters_worked_by_hand(box, count, threshold, expected):
    assert best_of_clusters(box, count, threshold).tolist() == expected


def clusters_one_by_one(box, threshold):
    """Return sets of indices: boxes that a chain of overlaps joins."""
    left, clusters = set(range(len(box))), []
    while left:
        cluster, border = set(), {min(left)}
        while border:
            cluster |= border
            reached = {b for a in border for b in left if iou(box[[a]], box[[b]])[0, 0] > threshold}
            border = reached - cluster
        clusters.append(sorted(cluster))
        left -= cluster
    return clusters


@st.composite
def box_lists(draw):
    sides = st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 6)] * 2)
    boxes = draw(st.lists(sides, min_size=2, max_size=25))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float64)


@given(box_lists(), st.sampled_from([0.0, 0.3, 0.5, 0.7]), st.data())
def test_clusters_give_what_the_rule_says(box, threshold, data):
    """No cluster gives more boxes than it has, nor are there more than asked for: in 2017 one was
    deleted too many, and single boxes divided by zero."""
    count = data.draw(st.integers(1, len(box) - 1))
    clusters = sorted(clusters_one_by_one(box, threshold), key=len, reverse=True)
    spare = max(count - len(clusters), 0)
    expected = []
    for cluster in clusters[:count]:
        rate = spare / (len(box) - len(clusters)) if spare else 0
        expected += cluster[: 1 + math.floor(len(cluster) * rate + 1e-9)]
    kept = best_of_clusters(box, count, threshold).tolist()
    assert kept == sorted(expected)[:count]
    assert len(kept) >= min(count, len(clusters))


@given(box_lists(), st.sampled_from([0.0, 0.2, 0.5, 0.9]))
def test_overlapping_pairs_are_those_of_a_double_loop(box, threshold):
    one, other = overlapping(np.tile(box, (12, 1)), threshold)  # more than one block
    count = 12 * len(box)
    expected = iou(*[np.tile(box, (12, 1))] * 2) > threshold
    found = np.zeros((count, count), bool)
    found[one, other] = found[other, one] = True
    assert (found | np.eye(count, dtype=bool) == expected | np.eye(count, dtype=bool)).all()
    assert len(one) == np.triu(expected, 1).sum()


def test_clustering_keeps_one_of_each_object():
    """Nine shifted copies of three boxes: without clusters the likeliest object takes all."""
    boxes = {}
    for start, likely in ((0, 0.9), (10, 0.8), (20, 0.7)):
        for x, y in [(start + x, start + y) for x in range(3) for y in range(3)]:
            boxes[x, y, x + 7, y + 6] = likely
    odds = map_of(boxes, 30, 30)
    plain = find_samples(odds, 27, 0.5, corner_max=1024)
    spread = find_samples(odds, 27, 0.5, nms_threshold=0.5, corner_max=1024)
    assert set(np.floor(plain[:, 1] * 3)) == {0}
    assert set(np.floor(spread[:, 1] * 3)) == {0, 1, 2}


def generator(seed=0):
    return np.random.default_rng(seed)


def numbered(count):
    """Return ascending boxes beyond the image, which tells them from random ones."""
    return np.arange(count * 4, dtype=np.float32).reshape(count, 4) + 2


@pytest.mark.parametrize(
    ("found", "count", "fraction", "kept"),
    [(30, 16, 0.1, 15), (30, 16, 0, 16), (16, 16, 0.5, 8), (5, 16, 0.1, 5), (0, 9, 0, 0)]
    + [(3, 9, 1, 0), (9, 9, 0.99, 1)],
)
def test_random_boxes_fill_up(found, count, fraction, kept):
    boxes = with_random(numbered(found), count, fraction, generator())
    assert boxes.shape == (count, 4) and boxes.dtype == np.float32
    assert (boxes[:kept] >= 2).all()
    assert (np.diff(boxes[:kept, 0]) > 0).all()  # the order of the found ones stays
    random = boxes[kept:]
    assert (random[:, :2] <= random[:, 2:]).all() and (random >= 0).all() and (random <= 1).all()


def test_the_kept_boxes_are_chosen_at_random_not_the_best():
    box = numbered(100)
    chosen = [set(with_random(box, 10, 0, generator(seed))[:, 0]) for seed in range(200)]
    counts = np.array([sum(x in each for each in chosen) for x in box[:, 0]])
    # five standard deviations of 200 draws with p = 1/10
    assert np.abs(counts - 20).max() <= 5 * math.sqrt(200 * 0.1 * 0.9)


def test_random_boxes_follow_their_distribution():
    """x0 is uniform; x1 is uniform between x0 and 1, so its mean is 3/4."""
    box = with_random(numbered(0), 20000, 0, generator())
    share = (box[:, 2:] - box[:, :2]) / (1 - box[:, :2])
    for uniform in (box[:, :2], share):
        quantiles = np.quantile(uniform, [0.1, 0.5, 0.9], axis=0)
        np.testing.assert_allclose(quantiles.T, [[0.1, 0.5, 0.9]] * 2, atol=0.02)
    assert abs(np.corrcoef(box[:, 0], box[:, 1])[0, 1]) < 0.05
    assert box[:, 2].mean() == pytest.approx(3 / 4, abs=0.01)
