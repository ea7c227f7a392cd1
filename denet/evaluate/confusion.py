"""Which classes a classifier takes for which: the counts of ``TopErrors`` as tables."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

import numpy as np

from denet.evaluate.topk import TOP, TopErrors, percent

CLASS_COLUMNS = (
    *("class", "samples", "errors", "error_percent", f"top{TOP}_error_percent"),
    *("most_mistaken_for", "times"),
)


FEW = 20  # fewer answers than this prove nothing


class Mixup(NamedTuple):
    """``times`` samples of the class ``true`` were taken for the class ``predicted`` (ids)."""

    times: int
    true: int
    predicted: int


def mixups(errors: TopErrors) -> list[Mixup]:
    """Return the pairs of classes that were mistaken, the most frequent first, then by id."""
    found = [Mixup(n, *pair) for pair, n in errors.pairs.items() if pair[0] != pair[1] >= 0]
    return sorted(found, key=lambda each: (-each.times, each.true, each.predicted))


def confusion_matrix(errors: TopErrors) -> np.ndarray:
    """Return the samples (k, k) int64 of each true class (row) by predicted class (column)."""
    matrix = np.zeros((len(errors.wrong_top),) * 2, np.int64)
    for (true, predicted), count in errors.pairs.items():
        if predicted >= 0:
            matrix[true, predicted] = count
    return matrix


def write_confusion(file: TextIO, matrix: np.ndarray, class_labels: Sequence[str]) -> None:
    """Write the matrix as CSV with the class names before rows and columns."""
    write_table(file, matrix, class_labels, class_labels)


def write_table(
    file: TextIO, matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Write a matrix of a true class (row) by answer (column) as CSV with their names."""
    cells = ([name, *row] for name, row in zip(rows, matrix.tolist(), strict=True))
    _write_csv(file, ["true class", *columns], cells)


def write_class_errors(file: TextIO, errors: TopErrors, class_labels: Sequence[str]) -> None:
    """Write a CSV row of ``CLASS_COLUMNS`` per class; what a class has not stays empty."""
    commonest: dict[int, tuple[str, int]] = {}
    for mixup in mixups(errors):
        commonest.setdefault(mixup.true, (class_labels[mixup.predicted], mixup.times))
    counts = (each.tolist() for each in (errors.count, errors.wrong, errors.wrong_top))
    rows = [
        (
            *(name, count, wrong, _per_cent(wrong, count), _per_cent(wrong_top, count)),
            *commonest.get(index, ("", "")),
        )
        for index, (name, count, wrong, wrong_top) in enumerate(
            zip(class_labels, *counts, strict=True)
        )
    ]
    _write_csv(file, CLASS_COLUMNS, rows)


def doubt(errors: TopErrors, class_labels: Sequence[str]) -> str | None:
    """Return in a sentence why the answers look like a fault of the set-up; None if they do not.

    Either all of them are one class, or most would be right if the classes had other names.
    """
    total, occurring = errors.pairs.total(), len(np.flatnonzero(errors.count))
    if total < FEW or occurring < 2:
        return None
    usual = _usual_answers(errors)
    predicted = {pair[1] for pair in errors.pairs}
    if len(predicted) == 1:
        return (
            f"all {total} answers are {class_labels[predicted.pop()]!r} though {occurring} classes "
            "occur: is the model trained, and are these images prepared as those of its training "
            "(size, range of the values, colours)?"
        )
    renamed = sum(errors.pairs[pair] for pair in usual.items())
    right = total - int(errors.wrong.sum())
    if len(set(usual.values())) == len(usual) and 2 * renamed > total and 4 * right < renamed:
        true, answer = next(pair for pair in usual.items() if pair[0] != pair[1])
        return (
            f"{percent(renamed, total):.0f}% of the answers would be right under other class "
            f"names, {class_labels[true]!r} is usually answered {class_labels[answer]!r}: are the "
            "classes named or numbered as in the training?"
        )
    return None


def _usual_answers(errors: TopErrors) -> dict[int, int]:
    """Return what each class that occurs is most often taken for."""
    usual: dict[int, int] = {}
    for (true, predicted), _ in errors.pairs.most_common():
        usual.setdefault(true, predicted)
    return usual


def _per_cent(part: int, whole: int) -> str:
    return f"{percent(part, whole):.3f}" if whole else ""


def _write_csv(file: TextIO, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
