"""Top-1 and top-5 errors of a classifier, over all samples and per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOP = 5


def label_ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many classes come before the true one (n,): 0 = right, below 5 = in the top 5.

    probabilities (n, k), labels (n,) int. Equal probabilities rank by class id, so the result is
    the same on every machine; a probability that is not a number comes before any other.
    """
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)
    before = ~(probabilities <= true)
    tied = (probabilities == true) & (np.arange(probabilities.shape[1]) < labels[:, None])
    ranks: np.ndarray = (before | tied).sum(axis=1)
    return ranks


def top_classes(probabilities: np.ndarray, count: int) -> np.ndarray:
    """Return the ids of the ``count`` likeliest of k classes, best first: (n, min(count, k)).

    Equal probabilities come in order of class id.
    """
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :count]


class TopErrors:
    """Counts of wrong answers, gathered batch by batch.

    count, wrong  (k,) samples and top-1 mistakes per class
    wrong_top     samples whose class is not among the ``top`` likeliest
    top           5, or the number of classes where there are fewer
    """

    def __init__(self, class_num: int):
        self.top = min(TOP, class_num)
        self.count = np.zeros(class_num, np.int64)
        self.wrong = np.zeros(class_num, np.int64)
        self.wrong_top = 0

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Take the answers (n, k) for samples whose classes are ``labels`` (n,)."""
        ranks = label_ranks(probabilities, labels)
        self.count += np.bincount(labels, minlength=len(self.count))
        self.wrong += np.bincount(labels[ranks > 0], minlength=len(self.wrong))
        self.wrong_top += int((ranks >= self.top).sum())

    @property
    def top1_error(self) -> float:
        """Per cent of samples whose likeliest class is not the true one; nan without samples."""
        return percent(int(self.wrong.sum()), int(self.count.sum()))

    @property
    def top_error(self) -> float:
        """Per cent of samples whose class is not among the ``top`` likeliest."""
        return percent(self.wrong_top, int(self.count.sum()))

    def report(self, class_labels: Sequence[str]) -> str:
        """Return the overall error and a line per class, as DeNet (2017) writes its .test files.

        n is the number of samples of the class; a class without any has ``-`` for its error.
        """
        lines = [f"Overall Error={_in_words(self.top1_error)}"]
        for name, wrong, count in zip(class_labels, self.wrong, self.count, strict=True):
            error = _in_words(percent(int(wrong), int(count)))
            lines.append(f"Class {name}={error} ({count} samples)")
        return "\n".join(lines) + "\n"


def percent(part: int, whole: int) -> float:
    """Return 100 * part / whole; nan where there is no whole."""
    return 100 * part / whole if whole else float("nan")


def _in_words(error: float) -> str:
    return "-" if error != error else f"{error:.2f}%"
