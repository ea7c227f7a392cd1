"""How far a training is, and what it has measured in the epoch in hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

Metrics = dict[str, float]  # a row of PREFIX_metrics.csv
TESTED = ("test_error", "test_top5_error", "train_error")  # columns that are empty else
NOTHING = (0.0, 0.0)  # sum and number of a column


@dataclass
class Position:
    """How far a training is: in ``epoch`` (from 0), after ``step`` of its updates.

    ``cost`` is summed over the ``samples`` of this epoch so far; then the seconds they took, the
    learn rate of the last update, and (sum, number) of what else the metrics tell, by column.
    """

    epoch: int = 0
    step: int = 0
    cost: float = 0.0
    samples: int = 0
    train_seconds: float = 0.0
    wait_seconds: float = 0.0
    learn_rate: float = 0.0
    columns: dict[str, tuple[float, float]] = field(default_factory=dict)

    def copy(self) -> Position:
        """Return one that does not change with this."""
        return replace(self, columns=dict(self.columns))

    def add(self, cost: float, samples: int, columns: Mapping[str, tuple[float, float]]) -> None:
        """Add what a batch of so many samples was found to have, its cost by sample."""
        self.take(cost * samples, samples, columns)

    def take(self, cost: float, samples: int, columns: Mapping[str, tuple[float, float]]) -> None:
        """Add sums over so many samples."""
        self.cost += cost
        self.samples += samples
        for name, (part, number) in columns.items():
            total, count = self.columns.get(name, NOTHING)
            self.columns[name] = total + part, count + number

    def metrics(self, columns: Iterable[str]) -> Metrics:
        """Return the row of the epoch in hand, nothing tested yet."""
        return {
            "epoch": self.epoch + 1,
            "learn_rate": self.learn_rate,
            "cost": _mean(self.cost, self.samples),
            **{name: _mean(*self.columns.get(name, NOTHING)) for name in columns},
            **dict.fromkeys(TESTED, math.nan),
            "images_per_second": self.samples / max(self.train_seconds, 1e-9),
            "train_seconds": self.train_seconds,
            "wait_seconds": self.wait_seconds,
            "test_seconds": math.nan,
        }


def _mean(total: float, count: float) -> float:
    return total / count if count else math.nan
