"""Errors counted while answers pass by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from denet.evaluate.topk import TOP
from denet.predict.classify import Answer


class Tally:
    """Counts wrong answers; each must hold the ``TOP`` likeliest classes (or all there are)."""

    def __init__(self) -> None:
        self.count = self.wrong = self.wrong_top = 0

    def follow(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Yield the answers; count those whose true class is known."""
        for answer in answers:
            if answer.label is not None:
                best = [name for name, _ in answer.classes[:TOP]]
                self.count += 1
                self.wrong += answer.label != best[0]
                self.wrong_top += answer.label not in best
            yield answer

    def __str__(self) -> str:
        """Two lines: top-1 and top-5 error in per cent."""
        errors = ((1, self.wrong), (TOP, self.wrong_top))
        return "\n".join(f"top-{k} error {100 * n / self.count:.3f}%" for k, n in errors)
