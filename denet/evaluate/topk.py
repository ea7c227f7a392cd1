"""Answers of a classifier counted: top-1 and top-5 errors, and what was taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

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
    """Answers counted by their true and their predicted class, gathered batch by batch.

    pairs      samples per pair (true, predicted) of class ids, for the pairs that came;
               predicted is -1 where the probabilities are not numbers
    wrong_top  (k,) samples per class whose class is not among the ``top`` likeliest
    top        5, or the number of classes where there are fewer
    """

    def __init__(self, class_num: int):
        self.top = min(TOP, class_num)
        self.pairs: Counter[tuple[int, int]] = Counter()
        self.wrong_top = np.zeros(class_num, np.int64)

    @staticmethod
    def joined(parts: Sequence[TopErrors]) -> TopErrors:
        """Return as one the answers for different samples."""
        total = TopErrors(len(parts[0].wrong_top))
        for part in parts:
            total.pairs.update(part.pairs)
            total.wrong_top += part.wrong_top
        return total

    def add(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Take the answers (n, k) for samples whose classes are ``labels`` (n,)."""
        predicted = np.where(np.isnan(probabilities).any(1), -1, probabilities.argmax(1))
        self.pairs.update(zip(labels.tolist(), predicted.tolist(), strict=True))
        missed = label_ranks(probabilities, labels) >= self.top
        self.wrong_top += np.bincount(labels[missed], minlength=len(self.wrong_top))

    @property
    def count(self) -> np.ndarray:
        """Samples per class (k,)."""
        return self._by_class(self.pairs)

    @property
    def wrong(self) -> np.ndarray:
        """Samples per class (k,) whose likeliest class is not the true one."""
        return self._by_class(pair for pair in self.pairs if pair[0] != pair[1])

    @property
    def top1_error(self) -> float:
        """Per cent of samples whose likeliest class is not the true one; nan without samples."""
        return percent(int(self.wrong.sum()), self.pairs.total())

    @property
    def top_error(self) -> float:
        """Per cent of samples whose class is not among the ``top`` likeliest."""
        return percent(int(self.wrong_top.sum()), self.pairs.total())

    def summary(self) -> str:
        """Return both errors over all samples, a line each."""
        return f"top-1 error {self.top1_error:.3f}%\ntop-{TOP} error {self.top_error:.3f}%"

    def miss_rates(self) -> str:
        """Return both errors in a line, as ccv's cnnvldtr.rb prints them."""
        return f"{round(self.top1_error, 2)}% (1), {round(self.top_error, 2)}% ({TOP})"

    def report(self, class_labels: Sequence[str]) -> str:
        """Return the overall error and a line per class, as DeNet (2017) writes its .test files.

        n is the number of samples of the class; a class without any has ``-`` for its error.
        """
        lines = [f"Overall Error={_in_words(self.top1_error)}"]
        for name, wrong, count in zip(class_labels, self.wrong, self.count, strict=True):
            error = _in_words(percent(int(wrong), int(count)))
            lines.append(f"Class {name}={error} ({count} samples)")
        return "\n".join(lines) + "\n"

    def _by_class(self, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
        samples = np.zeros(len(self.wrong_top), np.int64)
        for pair in pairs:
            samples[pair[0]] += self.pairs[pair]
        return samples


def percent(part: int, whole: int) -> float:
    """Return 100 * part / whole; nan where there is no whole."""
    return 100 * part / whole if whole else float("nan")


def _in_words(error: float) -> str:
    return "-" if error != error else f"{error:.2f}%"
