"""Which classes are taken for which, worked by hand."""

import csv
import io
from collections import Counter

import numpy as np
import pytest

from denet.evaluate.confusion import (
    Mixup,
    confusion_matrix,
    doubt,
    mixups,
    write_class_errors,
    write_confusion,
)
from denet.evaluate.topk import TopErrors

LABELS = ["cat", "dog, big", "\u732b"]


def counted(pairs, class_num=3):
    errors = TopErrors(class_num)
    errors.pairs = Counter(pairs)
    return errors


def written(write, *arguments):
    text = io.StringIO()
    write(text, *arguments)
    return list(csv.reader(text.getvalue().splitlines()))


ERRORS = {(0, 0): 5, (0, 2): 3, (0, 1): 3, (1, 0): 4}


def test_rows_are_true_classes_and_add_up_to_the_samples():
    matrix = confusion_matrix(counted(ERRORS))
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[5, 3, 3], [4, 0, 0], [0, 0, 0]]


def test_matrix_of_many_answers():
    rng = np.random.default_rng(0)
    answers, labels = rng.random((500, 20)), rng.integers(0, 20, 500)
    errors = TopErrors(20)
    for part in np.split(np.arange(500), 7 * np.arange(1, 71)):
        errors.add(answers[part], labels[part])
    expected = np.zeros((20, 20), int)
    np.add.at(expected, (labels, answers.argmax(axis=1)), 1)
    assert confusion_matrix(errors).tolist() == expected.tolist()
    assert expected.sum(axis=1).tolist() == errors.count.tolist()
    assert (errors.count - errors.wrong).tolist() == expected.diagonal().tolist()


def test_mixups_come_in_order_of_frequency_then_of_class():
    assert mixups(counted(ERRORS)) == [Mixup(4, 1, 0), Mixup(3, 0, 1), Mixup(3, 0, 2)]
    assert mixups(counted({(0, 0): 5, (0, -1): 1})) == []


def test_matrix_as_csv():
    rows = written(write_confusion, confusion_matrix(counted(ERRORS)), LABELS)
    assert rows == [
        ["true class", "cat", "dog, big", "\u732b"],
        ["cat", "5", "3", "3"],
        ["dog, big", "4", "0", "0"],
        ["\u732b", "0", "0", "0"],
    ]


def test_errors_per_class_as_csv():
    errors = counted(ERRORS)
    errors.wrong_top[:] = [1, 0, 0]
    header, *rows = written(write_class_errors, errors, LABELS)
    assert header == [
        *("class", "samples", "errors", "error_percent", "top5_error_percent"),
        *("most_mistaken_for", "times"),
    ]
    assert rows == [
        ["cat", "11", "6", "54.545", "9.091", "dog, big", "3"],
        ["dog, big", "4", "4", "100.000", "0.000", "cat", "4"],
        ["\u732b", "0", "0", "", "", "", ""],
    ]


SHIFTED = {(0, 1): 30, (0, 0): 3, (1, 2): 30, (2, 0): 30, (2, 1): 9}
DOUBTS = [
    ({(0, 1): 50, (1, 1): 50}, "all 100 answers are 'b' though 2 classes occur"),
    (SHIFTED, "88% of the answers would be right under other class names, 'a' is usually"),
    ({(0, 1): 40, (1, 0): 40}, "100% of the answers would be right"),
    ({(1, 1): 100}, None),  # only one class occurs
    ({(0, 1): 5, (1, 1): 5}, None),  # too few to tell
    ({(0, 0): 40, (1, 1): 40}, None),
    ({(0, 0): 30, (0, 1): 35, (1, 0): 35, (1, 1): 30}, None),  # bad, but that is all
    ({(0, 1): 20, (0, 2): 19, (1, 1): 20, (1, 2): 21, (2, 1): 30, (2, 2): 5}, None),
    ({}, None),
]


@pytest.mark.parametrize("pairs, words", DOUBTS)
def test_answers_that_make_no_sense_are_told(pairs, words):
    sentence = doubt(counted(pairs), "abc")
    assert sentence is None if words is None else sentence.startswith(words)
