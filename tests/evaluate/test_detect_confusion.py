"""What a detector takes for what, worked by hand."""

from collections import Counter

import numpy as np
import pytest
from evaluate.boxed import detections, known, random_case

from denet.detect.box import iou
from denet.evaluate.confusion import confusion_matrix
from denet.evaluate.detect_confusion import detection_errors

A, B, C = (0, 0, 10, 10), (100, 0, 110, 10), (200, 0, 210, 10)
NEAR_A = (0, 0, 10, 6)  # IoU 60 / 100 with A
LESS_A = (0, 0, 10, 4)  # 40 / 100
MISSED = ALARM = 2  # behind the classes 0 and 1

# name: known objects, detections, counts by (true class, answer)
WORKED = {
    "found": ([(0, 0, A)], [(0, 0, 0.9, A)], {(0, 0): 1}),
    "taken for another": ([(0, 0, A)], [(0, 1, 0.9, NEAR_A)], {(0, 1): 1}),
    "missed": ([(0, 0, A), (0, 1, B)], [(0, 0, 0.9, A)], {(0, 0): 1, (1, MISSED): 1}),
    "not near enough": (
        [(0, 0, A)],
        [(0, 0, 0.9, LESS_A)],
        {(0, MISSED): 1, (ALARM, 0): 1},
    ),
    "in another image": ([(1, 0, A)], [(0, 0, 0.9, A)], {(0, MISSED): 1, (ALARM, 0): 1}),
    "twice": ([(0, 0, A)], [(0, 1, 0.9, NEAR_A), (0, 0, 0.3, A)], {(0, 0): 1, (ALARM, 1): 1}),
    "hardly believed": ([(0, 0, A)], [(0, 0, 0.24, A)], {(0, MISSED): 1}),
    "what does not count": (
        [(0, 0, A, "difficult"), (0, 1, B, "crowd"), (0, 1, C)],
        [(0, 0, 0.9, A), (0, 0, 0.8, NEAR_A), (0, 1, 0.7, B), (0, 1, 0.6, C)],
        {(1, 1): 1},
    ),
    "nothing at all": ([], [], {}),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_by_hand(name):
    objects, found, expected = WORKED[name]
    errors = detection_errors(detections(found), known(2, objects).truth, 2, 0.5, 0.25)
    assert errors.pairs == Counter(expected)
    assert confusion_matrix(errors).sum() == sum(expected.values())


@pytest.mark.parametrize("seed", range(5))
def test_every_object_and_every_detection_counts_once(seed):
    objects, rows = random_case(seed)
    truth, found = known(40, objects).truth, detections(rows)
    errors = detection_errors(found, truth, 5, 0.5, 0.3)
    matrix = confusion_matrix(errors)
    objects = np.bincount(truth.box_class[truth.scored], minlength=5)
    np.testing.assert_array_equal(matrix[:5].sum(axis=1), objects)
    # all but those that show what does not count
    said = np.bincount(found.class_index[found.score >= 0.3], minlength=5)
    assert (matrix[:, :5].sum(axis=0) <= said).all()
    ignored = ~truth.scored
    near = [
        ignored[truth.of(image)][overlap >= 0.5].any()
        for image, box in zip(found.image.tolist(), found.box, strict=True)
        for overlap in (iou(box[None], truth.boxes_px[truth.of(image)])[0],)
    ]
    free = np.bincount(found.class_index[(found.score >= 0.3) & ~np.array(near)], minlength=5)
    assert (matrix[:, :5].sum(axis=0) >= free).all()
