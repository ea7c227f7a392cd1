"""Objects found, taken for others, missed, and false alarms: cases worked out by hand."""

import numpy as np
import pytest
from evaluate.boxed import detections, known, random_case

from denet.evaluate.object_errors import NOTHING, object_errors
from denet.evaluate.voc import evaluate_voc

A, B, FAR = (0, 0, 20, 20), (100, 100, 150, 150), (300, 300, 340, 340)


def errors(rows, found, score=0.25, classes=2, images=2):
    return object_errors(detections(found), known(images, rows).truth, classes, score)


def test_each_kind_of_error_has_its_place():
    rows = [(0, 0, A), (0, 1, B), (1, 1, A), (1, 0, FAR, "difficult")]
    found = [
        (0, 0, 0.9, A),  # right
        (0, 0, 0.8, (1, 0, 21, 20)),  # the same object once more: a false alarm
        (0, 0, 0.7, B),  # for an object of the other class
        (0, 1, 0.6, FAR),  # nothing is there
        (1, 0, 0.5, FAR),  # difficult: does not count
        (1, 1, 0.2, A),  # below the score: the object is missed
    ]
    result = errors(rows, found)
    assert result.matrix(2).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    assert result.answer.tolist()[:3] == [0, 0, NOTHING]
    assert result.is_found.tolist()[:3] == [True, False, False]
    # image 0: one taken for another, two alarms; image 1: one missed
    assert result.of_images(2).tolist() == [3, 1]
    # sides 20, 50 and 20 pixels; the group between 16 and 32 holds two, of which one is found
    assert result.sizes() == [(16, 2, 1), (32, 1, 0)]
    assert errors(rows, found, score=0.1).matrix(2)[1].tolist() == [1, 1, 0]


def test_the_likeliest_detection_takes_an_object_of_another_class():
    result = errors([(0, 0, A)], [(0, 1, 0.6, A), (0, 1, 0.7, (0, 1, 20, 20))])
    assert result.matrix(2).tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert result.found.score[result.by[0]] == pytest.approx(0.7)


@pytest.mark.parametrize("rows", [[], [(0, 0, A)]])
@pytest.mark.parametrize("found", [[], [(1, 1, 0.5, A)]])
def test_nothing_known_or_found(rows, found):
    matrix = errors(rows, found).matrix(2)
    assert matrix.tolist() == [[0, 0, len(rows)], [0, 0, 0], [0, len(found), 0]]
    assert len(errors(rows, found).sizes()) == len(rows)


@pytest.mark.parametrize("seed", range(5))
def test_sums_agree_with_those_of_voc(seed):
    """Rows add up to the objects, columns to the detections that count; all right ones are found.

    A class more is found only where a detection lies on two objects of its own.
    """
    rows, found = random_case(seed, crowds=seed % 2 == 1)
    dataset, everything = known(40, rows), detections(found)
    result = object_errors(everything, dataset.truth, 5, 0)
    curves = evaluate_voc(everything, dataset, 5).curves
    matrix = result.matrix(5)
    assert matrix[:-1].sum(axis=1).tolist() == [curve.object_num for curve in curves]
    assert matrix[:, :-1].sum(axis=0).tolist() == [len(curve.right) for curve in curves]
    right = np.array([curve.right.sum() for curve in curves])
    assert (np.diag(matrix)[:-1] >= right).all()
    assert result.of_images(40).sum() == matrix.sum() - np.trace(matrix)
    assert sum(count for _, count, _ in result.sizes()) == matrix[:-1].sum()
