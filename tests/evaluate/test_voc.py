"""The average precision of VOC, worked by hand and by plain loops over fractions."""

from fractions import Fraction

import numpy as np
import pytest
from evaluate.boxed import detections, known, random_case

from denet.evaluate import overlap
from denet.evaluate.voc import ClassCurve, VocResult, coverage, evaluate_voc

A, B, C = (0, 0, 10, 10), (100, 0, 110, 10), (200, 0, 210, 10)  # three places of an image
NEAR_A = (0, 0, 10, 6)  # IoU 60 / 100 with A
HALF_A = (0, 0, 10, 5)  # 50 / 100
LESS_A = (0, 0, 10, 4)  # 40 / 100
ELSEWHERE = (400, 400, 450, 450)

# name: known objects, detections, 11-point AP, AP as an area; all of one class
WORKED = {
    # one object, found: precision 1 at recall 1
    "all right": ([(0, 0, A)], [(0, 0, 0.9, A)], 1, 1),
    # two objects in two images. Right, wrong, right: precision 1 1/2 2/3 at recall 1/2 1/2 1.
    # Envelope: 1 up to 1/2, 2/3 up to 1. 11 points: 0 to .5 are six of 1, .6 to 1 five of 2/3.
    "one wrong between": (
        [(0, 0, A), (1, 0, A)],
        [(0, 0, 0.9, A), (0, 0, 0.8, ELSEWHERE), (1, 0, 0.7, A)],
        (6 + 5 * Fraction(2, 3)) / 11,
        Fraction(1, 2) + Fraction(1, 2) * Fraction(2, 3),
    ),
    # the same object twice: the second is wrong. Precision 1 1/2 at recall 1/2 1/2; the other
    # object is never found. 11 points: six of 1. Area: 1/2.
    "a duplicate": (
        [(0, 0, A), (0, 0, B)],
        [(0, 0, 0.9, A), (0, 0, 0.8, NEAR_A)],
        Fraction(6, 11),
        Fraction(1, 2),
    ),
    # ... even when the better score has the smaller IoU: precision 1/1, 1/2
    "the higher score is the right one": (
        [(0, 0, A)],
        [(0, 0, 0.6, A), (0, 0, 0.8, NEAR_A)],
        1,
        1,
    ),
    # the difficult object neither counts as an object nor its detections, however many, as wrong:
    # what is left is wrong, right: precision 0 1/2 at recall 0 1.
    "difficult ones do not count": (
        [(0, 0, A, "difficult"), (0, 0, B)],
        [(0, 0, 0.9, A), (0, 0, 0.8, NEAR_A), (0, 0, 0.7, C), (0, 0, 0.6, B)],
        Fraction(1, 2),
        Fraction(1, 2),
    ),
    # an IoU of just 1/2 is enough, 2/5 is not: wrong (0.9), right (0.8)
    "the limit itself is enough": (
        [(0, 0, A)],
        [(0, 0, 0.9, LESS_A), (0, 0, 0.8, HALF_A)],
        Fraction(1, 2),
        Fraction(1, 2),
    ),
    # ten objects, three found at once: recall is 3/10, which reaches the points 0 .1 .2 .3
    # (0.1 * 3 as a floating point number is more than 3 / 10)
    "a recall of just 3/10": (
        [(0, 0, (20 * k, 0, 20 * k + 10, 10)) for k in range(10)],
        [(0, 0, 0.9 - k / 10, (20 * k, 0, 20 * k + 10, 10)) for k in range(3)],
        Fraction(4, 11),
        Fraction(3, 10),
    ),
    # a detection belongs to the object it overlaps most, although another one is still free:
    # x 3..13 meets x 0..10 by 7/13 and x 4..14 by 9/11. The first takes 4..14, the second does too.
    "no second choice": (
        [(0, 0, (0, 0, 10, 10)), (0, 0, (4, 0, 14, 10))],
        [(0, 0, 0.9, (4, 0, 14, 10)), (0, 0, 0.8, (3, 0, 13, 10))],
        Fraction(6, 11),
        Fraction(1, 2),
    ),
    # right place, wrong image
    "another image": ([(0, 0, A), (1, 0, B)], [(1, 0, 0.9, A)], 0, 0),
    "nothing found": ([(0, 0, A)], [], 0, 0),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_by_hand(name):
    objects, found, ap_11, ap_area = WORKED[name]
    result = evaluate_voc(detections(found), known(2, objects), 1)
    assert result.mean_ap_11 == pytest.approx(float(ap_11), abs=1e-12)
    assert result.mean_ap_area == pytest.approx(float(ap_area), abs=1e-12)


def plain_iou(a, b):
    a, b = ([float(np.float32(side)) for side in box] for box in (a, b))
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - shared)


def plain_ap(objects, found, class_index, match_iou):
    """Return both average precisions of a class as fractions, None without objects."""
    mine = [list(row) for row in objects if row[1] == class_index]
    total = sum(row[3] == "" for row in mine)
    taken, points = set(), []
    right = wrong = 0
    for image, guess, _, box in sorted(found, key=lambda row: -np.float32(row[2])):
        if guess != class_index:
            continue
        rivals = [(plain_iou(box, row[2]), -k) for k, row in enumerate(mine) if row[0] == image]
        best, place = max(rivals, default=(0, 0))
        if best >= match_iou and mine[-place][3] == "difficult":
            continue
        if best >= match_iou and place not in taken:
            taken.add(place)
            right += 1
        else:
            wrong += 1
        points.append((Fraction(right, total or 1), Fraction(right, right + wrong)))
    if not total:
        return None

    def envelope(recall):
        return max((p for r, p in points if r >= recall), default=Fraction(0))

    eleven = sum(envelope(Fraction(k, 10)) for k in range(11)) / 11
    return eleven, sum(envelope(Fraction(k, total)) for k in range(1, total + 1)) / total


@pytest.mark.parametrize("match_iou", [0.5, 0.75])
@pytest.mark.parametrize("seed", range(6))
def test_the_same_as_plain_loops(seed, match_iou, monkeypatch):
    monkeypatch.setattr(overlap, "PAIRS", 7)  # compared in many parts
    objects, found = random_case(seed)
    result = evaluate_voc(detections(found), known(40, objects), 6, match_iou)
    expected = [plain_ap(objects, found, k, match_iou) for k in range(6)]
    assert expected[5] is None and np.isnan(result.ap_11[5]) and np.isnan(result.ap_area[5])
    np.testing.assert_allclose(result.ap_11[:5], [float(each[0]) for each in expected[:5]])
    np.testing.assert_allclose(result.ap_area[:5], [float(each[1]) for each in expected[:5]])
    assert result.mean_ap_11 == pytest.approx(np.mean([float(each[0]) for each in expected[:5]]))
    covered = [
        any(row[0] == image and plain_iou(row[3], box) >= match_iou for row in found)
        for image, _, box, note in objects
        if not note
    ]
    assert result.coverage == pytest.approx(np.mean(covered))


def test_flags_belong_to_their_boxes():
    # 2017 kept the flags of boxes that were dropped, so that later objects got those of others
    objects = [(0, 0, A), (1, 0, A), (1, 0, B, "difficult"), (1, 0, C)]
    found = [(0, 0, 0.9, A), (1, 0, 0.9, A), (1, 0, 0.9, B), (1, 0, 0.9, C)]
    result = evaluate_voc(detections(found), known(2, objects), 1)
    assert result.mean_ap_area == 1 and result.curves[0].object_num == 3
    assert len(result.curves[0].right) == 3


def test_coverage_asks_for_no_class():
    objects = [(0, 0, A), (0, 1, B), (0, 1, C, "difficult")]
    found = detections([(0, 1, 0.1, A), (0, 0, 0.1, ELSEWHERE)])
    assert coverage(found, known(1, objects).truth) == 0.5
    assert np.isnan(coverage(found, known(1, objects[2:]).truth))
    assert coverage(detections([]), known(1, objects).truth) == 0


def test_nothing_known():
    result = evaluate_voc(detections([(0, 0, 0.9, A)]), known(1, []), 2)
    assert np.isnan(result.mean_ap_11) and np.isnan(result.mean_ap_area)
    assert result.report(["cat", "dog"]).splitlines() == [
        "coverage - (IoU 0.5, any class)",
        "AP 11-point / area (IoU 0.5):",
        "cat - / - (0 objects)",
        "dog - / - (0 objects)",
        "mean - / -",
    ]


def test_the_report_tells_per_cent():
    objects, found, *_ = WORKED["a duplicate"]
    result = evaluate_voc(detections(found), known(1, objects), 1)
    assert result.report(["cat"]).splitlines() == [
        "coverage 50.00% (IoU 0.5, any class)",
        "AP 11-point / area (IoU 0.5):",
        "cat 54.55% / 50.00% (2 objects)",
        "mean 54.55% / 50.00%",
    ]


def test_the_threshold_of_the_best_f1():
    right = np.array([True, False, True, True, False])
    curve = ClassCurve(4, np.array([0.9, 0.8, 0.7, 0.6, 0.5]), right)
    # behind the fourth: 3 of 4 are right and 3 of 4 objects are found
    assert curve.best_f1() == (0.6, 0.75, 0.75, 0.75)
    assert curve.f1_from(0.6) == 0.75 and curve.f1_from(2) == 0
    tied = ClassCurve(4, np.array([0.9, 0.6, 0.6, 0.6, 0.6]), right)
    # no threshold parts equal scores: one of four with the first, else 3 of 5 and 3 of 4
    assert tied.best_f1() == pytest.approx((0.6, 0.6, 0.75, 2 * 0.6 * 0.75 / 1.35))
    assert ClassCurve(4, np.array([0.9]), np.array([False])).best_f1() is None
    assert ClassCurve(0, np.array([0.9]), np.array([False])).best_f1() is None


def test_all_classes_together():
    first = ClassCurve(2, np.array([0.9, 0.3]), np.array([True, False]))
    second = ClassCurve(3, np.array([0.8, 0.4]), np.array([False, True]))
    both = VocResult([first, second], 0.5, 1.0).together
    assert (both.object_num, both.score.tolist()) == (5, [0.9, 0.8, 0.4, 0.3])
    assert both.right.tolist() == [True, False, True, False]
    # two of three right, two of five found: 2 * (2/3 * 2/5) / (16/15)
    assert both.best_f1() == pytest.approx((0.4, 2 / 3, 2 / 5, 0.5))
