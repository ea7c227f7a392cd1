"""Targets of samples worked by hand. Class 2 of 3 at index 2, null at index 3."""

import numpy as np
import pytest

from denet.detect.box import BOX_CAPACITY
from denet.detect.target import box_target, class_target, fitness_bin, fitness_iou, fitness_target

NOWHERE = (0, 0, 0, 0)


def strip(length: float) -> tuple[float, float, float, float]:
    """Return a box with the IoU ``length`` to the whole image."""
    return 0, 0, length, 1


def given(*objects: tuple[tuple[float, ...], int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the padded ground truth of one image."""
    box = np.zeros((BOX_CAPACITY, 4), np.float32)
    box_class = np.full(BOX_CAPACITY, -1, np.int32)
    for place, (corners, class_index) in enumerate(objects):
        box[place], box_class[place] = corners, class_index
    return box, box_class


def samples(*boxes: tuple[float, ...]) -> np.ndarray:
    return np.array(boxes, np.float32)


WHOLE = strip(1)
CLASS_TARGETS = [
    # sample, objects, threshold, shares of the classes 0 1 2 and null
    ("no object", WHOLE, [], 0.5, [0, 0, 0, 1]),
    ("one", WHOLE, [(WHOLE, 2)], 0.5, [0, 0, 1, 0]),
    ("too little", WHOLE, [(strip(0.25), 2)], 0.5, [0, 0, 0, 1]),
    ("just the threshold", WHOLE, [(strip(0.5), 2)], 0.5, [0, 0, 0, 1]),
    ("just above it", WHOLE, [(strip(0.5), 2)], 0.499, [0, 0, 1, 0]),
    ("elsewhere", (0, 0, 0.5, 1), [((0.5, 0, 1, 1), 2)], 0, [0, 0, 0, 1]),
    ("two classes", WHOLE, [(WHOLE, 0), (strip(0.75), 2)], 0.5, [1 / 2, 0, 1 / 2, 0]),
    ("two of a class", WHOLE, [(WHOLE, 1), (strip(0.75), 1)], 0.5, [0, 1, 0, 0]),
    ("the same box twice", WHOLE, [(WHOLE, 1), (WHOLE, 1)], 0.5, [0, 1, 0, 0]),
    ("one of two", WHOLE, [(strip(0.25), 0), (strip(0.75), 2)], 0.5, [0, 0, 1, 0]),
    (
        "three classes",
        WHOLE,
        [(WHOLE, 0), (WHOLE, 1), (WHOLE, 2), (WHOLE, 0)],
        0.5,
        [1 / 3, 1 / 3, 1 / 3, 0],
    ),
    ("sample without area", NOWHERE, [(WHOLE, 0), (NOWHERE, 1)], 0, [0, 0, 0, 1]),
    ("object without area", WHOLE, [(NOWHERE, 1)], 0, [0, 0, 0, 1]),
    ("nothing is above 1", WHOLE, [(WHOLE, 1)], 1, [0, 0, 0, 1]),
]


@pytest.mark.parametrize(
    ("sample", "objects", "threshold", "expected"),
    [case[1:] for case in CLASS_TARGETS],
    ids=[case[0] for case in CLASS_TARGETS],
)
def test_class_target(sample, objects, threshold, expected):
    found = class_target(samples(sample), *given(*objects), 3, threshold)
    assert found.dtype == np.float32
    assert found.tolist() == [pytest.approx(expected)]


def test_places_without_an_object_are_not_objects():
    """Class -1 with the box of the sample: as if it were not there, wherever it stands."""
    box, box_class = given((WHOLE, -1), (WHOLE, 1), (WHOLE, -1))
    assert class_target(samples(WHOLE), box, box_class, 3, 0.5).tolist() == [[0, 1, 0, 0]]
    assert fitness_target(samples(WHOLE), *given((WHOLE, -1)), 0.5)[0, 0] == 1
    row, target = box_target(samples(WHOLE), *given((WHOLE, -1)), 0.5)
    assert (len(row), target.shape) == (0, (0, 4))


BINS = [
    # threshold, IoU, bin = int(5 s) within 0 and 4, s = (IoU - threshold) / (1 - threshold)
    (0.5, 0.501, 0),
    (0.5, 0.59, 0),
    (0.5, 0.61, 1),
    (0.5, 0.69, 1),
    (0.5, 0.71, 2),
    (0.5, 0.81, 3),
    (0.5, 0.89, 3),
    (0.5, 0.91, 4),
    (0.5, 1.0, 4),  # s = 1 would be bin 5
    (0.0, 0.19, 0),
    (0.0, 0.5, 2),
    (0.75, 0.76, 0),
    (0.75, 0.875, 2),
    (0.75, 0.99, 4),
]


@pytest.mark.parametrize(("threshold", "overlap", "expected"), BINS)
def test_fitness_bin(threshold, overlap, expected):
    assert fitness_bin(np.array([overlap], np.float32), threshold).tolist() == [expected]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_each_bin_begins_with_its_iou(threshold):
    levels = fitness_iou(threshold)
    assert levels[0] == threshold
    assert fitness_bin(levels + 1e-6, threshold).tolist() == [0, 1, 2, 3, 4]
    assert fitness_bin(levels[1:] - 1e-6, threshold).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("threshold", "overlap", "expected"), BINS)
def test_joint_and_independent_targets_of_one_object(threshold, overlap, expected):
    sample, truth = samples(WHOLE), given((strip(overlap), 2))
    joint = class_target(sample, *truth, 3, threshold, joint=True)
    assert joint.shape == (1, 16)
    assert np.flatnonzero(joint).tolist() == [2 * 5 + expected] and joint.sum() == 1
    independent = fitness_target(sample, *truth, threshold)
    assert independent.shape == (1, 6)
    assert np.flatnonzero(independent).tolist() == [1 + expected] and independent.sum() == 1


def test_joint_target_of_many_objects():
    """Class 0 in bins 4 and 2, class 1 in bin 4, two of class 2 in bin 0."""
    truth = given(
        (WHOLE, 0),
        (strip(0.75), 0),
        (WHOLE, 1),
        (strip(0.55), 2),
        (strip(0.56), 2),
        (strip(0.4), 1),
    )
    found = class_target(samples(WHOLE, (0, 0, 1, 0.25)), *truth, 3, 0.5, joint=True)
    assert {int(place): float(found[0, place]) for place in np.flatnonzero(found[0])} == {
        4: 0.25,
        2: 0.25,
        9: 0.25,
        10: 0.25,
    }
    assert np.flatnonzero(found[1]).tolist() == [15]  # null is the last
    independent = fitness_target(samples(WHOLE), *truth, 0.5)
    assert independent[0].tolist() == pytest.approx([0, 1 / 3, 0, 1 / 3, 0, 1 / 3])


def test_box_target_is_the_largest_overlap():
    sample = samples(WHOLE, (0, 0, 0.5, 0.5), (0, 0, 1, 0.625), (0.5, 0.5, 1, 1))
    truth = given(((0, 0, 1, 0.75), 2), (strip(0.75), 1), ((0, 0, 1, 0.75), 0), (WHOLE, 0))
    row, target = box_target(sample, *truth, 0.5)
    assert row.tolist() == [0, 2]
    assert target.tolist() == [[0, 0, 1, 1], [0, 0, 1, 0.75]]


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 0), (0.499, 1), (1, 0)])
def test_box_target_is_strict(threshold, count):
    row, _ = box_target(samples(WHOLE), *given((strip(0.5), 0)), threshold)
    assert len(row) == count


def test_first_of_equal_objects_counts():
    """Two objects lie at the same distance: mirrored strips."""
    truth = given(((0.25, 0, 1, 1), 0), ((0, 0, 0.75, 1), 1))
    row, target = box_target(samples(WHOLE), *truth, 0.5)
    assert (row.tolist(), target.tolist()) == ([0], [[0.25, 0, 1, 1]])


def brute_force(sample, box, box_class, class_num, threshold):
    """Return class target, joint target, fitness target, matched object (-1: none) by loops."""
    count = len(sample)
    plain, joint = np.zeros((count, class_num + 1)), np.zeros((count, 5 * class_num + 1))
    fitness, best = np.zeros((count, 6)), np.full(count, -1)
    for row, (x0, y0, x1, y1) in enumerate(sample.tolist()):
        highest = threshold
        for place, (u0, v0, u1, v1) in enumerate(box.tolist()):
            if box_class[place] < 0:
                continue
            shared = max(min(x1, u1) - max(x0, u0), 0) * max(min(y1, v1) - max(y0, v0), 0)
            union = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - shared
            overlap = shared / union if union > 0 else 0
            if overlap <= threshold:
                continue
            step = min(max(int(5 * (overlap - threshold) / (1 - threshold)), 0), 4)
            plain[row, box_class[place]] = 1
            joint[row, 5 * box_class[place] + step] = 1
            fitness[row, 1 + step] = 1
            if overlap > highest:
                highest, best[row] = overlap, place
        for target, null in ((plain, -1), (joint, -1), (fitness, 0)):
            if not target[row].any():
                target[row, null] = 1
            target[row] /= target[row].sum()
    return plain, joint, fitness, best


@pytest.mark.parametrize("objects", [0, 1, 7, BOX_CAPACITY])
@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_against_loops(objects, threshold):
    rng = np.random.default_rng(objects)
    corners = rng.uniform(0, 1, (2, 60 + objects, 2))
    boxes = np.concatenate([corners.min(axis=0), corners.max(axis=0)], axis=1)
    sample, found = boxes[:60], boxes[60:]
    sample[:objects] = found[:60] + rng.uniform(-0.02, 0.02, found[:60].shape)
    box, box_class = np.zeros((BOX_CAPACITY, 4)), np.full(BOX_CAPACITY, -1, np.int32)
    places = rng.permutation(BOX_CAPACITY)[:objects]
    box[places], box_class[places] = found, rng.integers(0, 4, objects)
    truth = box, box_class
    plain, joint, fitness, best = brute_force(sample, *truth, 4, threshold)
    np.testing.assert_allclose(class_target(sample, *truth, 4, threshold), plain)
    np.testing.assert_allclose(class_target(sample, *truth, 4, threshold, joint=True), joint)
    np.testing.assert_allclose(fitness_target(sample, *truth, threshold), fitness)
    row, target = box_target(sample, *truth, threshold)
    assert row.tolist() == np.flatnonzero(best >= 0).tolist()
    assert (target == box[best[row]]).all()
    assert not objects or len(row) > objects / 4
