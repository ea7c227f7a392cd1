"""Top-1 and top-5 errors, worked by hand."""

import math

import numpy as np
import pytest

from denet.evaluate.topk import TopErrors, label_ranks, top_classes

NAN = math.nan

RANKS = [
    ([0.1, 0.7, 0.2], 1, 0),
    ([0.1, 0.7, 0.2], 2, 1),
    ([0.1, 0.7, 0.2], 0, 2),
    ([0.4, 0.4, 0.2], 0, 0),  # of equal ones the lower class id comes first
    ([0.4, 0.4, 0.2], 1, 1),
    ([0.25, 0.25, 0.25, 0.25], 3, 3),
    ([NAN, NAN, NAN], 0, 3),  # no answer is no right answer
    ([0.5, NAN, 0.5], 0, 1),
]


@pytest.mark.parametrize("probabilities, label, rank", RANKS)
def test_rank_of_the_true_class(probabilities, label, rank):
    ranks = label_ranks(np.array([probabilities], np.float32), np.array([label], np.int32))
    assert ranks.tolist() == [rank]


def test_top_classes_are_the_best_first_and_ties_by_class():
    probabilities = np.array([[0.1, 0.3, 0.3, 0.3], [0.4, 0.1, 0.5, 0.0]], np.float32)
    assert top_classes(probabilities, 3).tolist() == [[1, 2, 3], [2, 0, 1]]
    assert top_classes(probabilities, 9).shape == (2, 4)


def test_errors_over_two_batches():
    # class of the highest value falls from left to right: the ranks are the labels
    falling = np.arange(7, 0, -1, dtype=np.float32)
    errors = TopErrors(7)
    errors.add(np.tile(falling, (3, 1)), np.array([0, 4, 5], np.int32))
    errors.add(np.tile(falling, (1, 1)), np.array([0], np.int32))
    assert errors.top == 5
    assert errors.top1_error == 50.0  # labels 4 and 5
    assert errors.top_error == 25.0  # label 5 is the sixth
    assert errors.count.tolist() == [2, 0, 0, 0, 1, 1, 0]
    assert errors.wrong.tolist() == [0, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("class_num, top", [(1, 1), (2, 2), (5, 5), (6, 5)])
def test_fewer_than_five_classes(class_num, top):
    errors = TopErrors(class_num)
    errors.add(np.zeros((1, class_num), np.float32), np.array([class_num - 1], np.int32))
    assert errors.top == top
    assert errors.top_error == (100.0 if class_num > 5 else 0.0)


def test_what_was_taken_for_what_is_counted():
    errors = TopErrors(3)
    answers = np.array([[8, 1, 1], [1, 8, 1], [1, 8, 1], [4, 4, 2], [NAN, 1, 0]], np.float32)
    errors.add(answers, np.array([0, 0, 2, 1, 0], np.int32))
    errors.add(answers[:1], np.array([2], np.int32))
    assert errors.pairs == {(0, 0): 1, (0, 1): 1, (2, 1): 1, (1, 0): 1, (0, -1): 1, (2, 0): 1}
    assert errors.count.tolist() == [3, 1, 2]
    assert errors.wrong.tolist() == [2, 1, 2]
    assert errors.wrong_top.tolist() == [1, 0, 0]  # no number is among no top


@pytest.mark.parametrize("class_num", [3, 12])
def test_pairs_agree_with_ranks(class_num):
    rng = np.random.default_rng(class_num)
    answers = rng.integers(0, 4, (200, class_num)).astype(np.float32)  # many are equal
    answers[::7, 1] = NAN
    labels = rng.integers(0, class_num, 200).astype(np.int32)
    errors = TopErrors(class_num)
    errors.add(answers, labels)
    ranks = label_ranks(answers, labels)
    wrong = np.bincount(labels, (ranks > 0) | np.isnan(answers).any(axis=1), class_num)
    assert errors.wrong.tolist() == wrong.tolist()
    assert errors.wrong_top.tolist() == np.bincount(labels, ranks >= errors.top, class_num).tolist()


def test_summary_is_two_lines():
    errors = TopErrors(8)
    errors.add(np.tile(np.arange(8, 0, -1, dtype=np.float32), (4, 1)), np.array([0, 1, 2, 7]))
    assert errors.summary() == "top-1 error 75.000%\ntop-5 error 25.000%"


def test_report_counts_samples_and_divides_by_none():
    errors = TopErrors(3)
    errors.add(np.eye(3, dtype=np.float32)[[0, 0, 1]], np.array([0, 1, 1], np.int32))
    assert errors.report(["cat", "dog", "empty"]) == (
        "Overall Error=33.33%\n"
        "Class cat=0.00% (1 samples)\n"
        "Class dog=50.00% (2 samples)\n"
        "Class empty=- (0 samples)\n"
    )


def test_nothing_tested_has_no_error():
    assert math.isnan(TopErrors(2).top1_error)
    assert TopErrors(2).report(["a", "b"]).startswith("Overall Error=-\n")
