"""Suppression against worked cases and plain loops."""

import math

import numpy as np
import pytest

from denet.detect.nms import LEAST_LOG_SCORE, greedy_nms, soft_nms


def plain_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (areas - shared) if areas > shared else 0.0


def plain_greedy(box, score, group, threshold):
    kept = []
    for i in sorted(range(len(box)), key=lambda i: -score[i]):
        rivals = [k for k in kept if group[k] == group[i]]
        if all(plain_iou(box[k], box[i]) <= threshold for k in rivals):
            kept.append(i)
    return sorted(kept)


def plain_soft(box, score, group, threshold):
    rest = {i: math.log(score[i]) for i in range(len(box))}
    kept = {}
    while rest:
        best = max(rest, key=lambda i: (rest[i], -i))
        kept[best] = rest.pop(best)
        for i in list(rest):
            if group[i] == group[best]:
                rest[i] -= plain_iou(box[i], box[best]) ** 2 / threshold
                if rest[i] < LEAST_LOG_SCORE:
                    del rest[i]
    return kept


def boxes(count, seed, levels=None):
    """Return boxes, scores (equal ones among few ``levels``) and groups."""
    rng = np.random.default_rng(seed)
    centre, half = rng.uniform(0, 1, (count, 2)), rng.uniform(0.05, 0.3, (count, 2))
    score = rng.uniform(0.01, 1, count)
    if levels:
        score = np.ceil(score * levels) / levels
    return np.hstack([centre - half, centre + half]), score, rng.integers(0, 4, count)


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("count", [1, 2, 17, 150])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.9])
def test_greedy_is_the_plain_loop(count, threshold, levels):
    case = boxes(count, count, levels)
    assert greedy_nms(*case, threshold).tolist() == plain_greedy(*case, threshold)


@pytest.mark.parametrize("count", [1, 2, 17, 150])
@pytest.mark.parametrize("threshold", [0.02, 0.3, 0.5, 0.9])
def test_soft_is_the_plain_loop(count, threshold):
    case = boxes(count, count)
    expected = plain_soft(*case, threshold)
    stay, score = soft_nms(*case, threshold)
    assert stay.tolist() == sorted(expected)
    np.testing.assert_allclose(np.log(score), [expected[i] for i in stay], atol=1e-9)


def row(*starts):
    """Return boxes of 10 x 10 that start at these x: the IoU at a distance of d <= 10 is
    (10 - d) / (10 + d), such as 2/3 at 2 and 3/7 at 4."""
    return np.array([(x, 0, x + 10, 10) for x in starts], np.float32)


def test_a_box_that_is_gone_suppresses_nothing():
    # the second goes because of the first, so that the third, which only the second meets, stays;
    # 2017 let it go too
    assert greedy_nms(row(0, 2, 4), np.array([0.9, 0.8, 0.7]), np.zeros(3, int), 0.5).tolist() == [
        0,
        2,
    ]


def test_one_of_equal_boxes_stays():
    # 2017 kept both, as neither has the higher score
    assert greedy_nms(row(0, 0), np.array([0.5, 0.5]), np.zeros(2, int), 0.5).tolist() == [0]


def test_an_overlap_of_just_the_threshold_stays():
    half = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], np.float32)
    score, group = np.array([0.9, 0.8]), np.zeros(2, int)
    assert greedy_nms(half, score, group, 0.5).tolist() == [0, 1]
    assert greedy_nms(half, score, group, 0.499).tolist() == [0]


def test_groups_do_not_meet():
    score = np.array([0.2, 0.9, 0.3, 0.8])
    assert greedy_nms(row(0, 0, 0, 0), score, np.array([7, 2, 7, 5]), 0.5).tolist() == [1, 2, 3]


def test_soft_by_hand():
    # IoU 2/3: log score falls by (4/9) / 0.5 = 8/9
    stay, score = soft_nms(row(0, 2, 50), np.array([0.9, 0.8, 0.7]), np.zeros(3, int), 0.5)
    assert stay.tolist() == [0, 1, 2]
    np.testing.assert_allclose(score, [0.9, 0.8 * math.exp(-8 / 9), 0.7])
    # log 0.0011 = -6.81 is above -6.9, and falls below by any overlap worth 0.09
    stay, _ = soft_nms(row(0, 2, 50), np.array([0.9, 0.0011, 0.0011]), np.zeros(3, int), 0.5)
    assert stay.tolist() == [0, 2]


@pytest.mark.parametrize("threshold", [-1, 0, 1, 7])
def test_off(threshold):
    box, score, group = boxes(20, 0)
    assert greedy_nms(box, score, group, threshold).tolist() == list(range(20))
    stay, same = soft_nms(box, score, group, threshold)
    assert stay.tolist() == list(range(20)) and (same == score).all()


@pytest.mark.parametrize("score", [[], [0.0]])
def test_nothing_is_no_case_of_its_own(score):
    score = np.array(score, np.float32)
    box, group = np.zeros((len(score), 4), np.float32), np.zeros(len(score), int)
    assert len(greedy_nms(box, score, group, 0.5)) == len(score)
    stay, new = soft_nms(box, score, group, 0.5)
    assert len(stay) == len(new) == 0


def test_boxes_without_area_and_huge_ones():
    box = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [-1e9, -1e9, 1e9, 1e9]], np.float32)
    stay = greedy_nms(box, np.array([0.9, 0.8, 0.7]), np.zeros(3, int), 0.5)
    assert stay.tolist() == [0, 1, 2]
