"""What a training tells of each epoch: the log, a table, curves of it, TensorBoard events.

A file that cannot be written is a warning: the training goes on without it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence

from denet.errors import DataError
from denet.files import atomic_write
from denet.report.curves import draw_curves
from denet.report.metrics import cost_parts, read_metrics, write_metrics
from denet.report.plotting import MISSING, can_draw
from denet.report.tensorboard import EventWriter
from denet.training.advice import Rule, advice
from denet.training.checkpoint import RunFiles, optional
from denet.training.position import Metrics
from denet.training.progress import duration, speed_text
from denet.training.settings import TrainSettings

log = logging.getLogger(__name__)

CURVE_SECONDS = 30.0  # between two pictures: short epochs need not wait for each
WAIT_SHARE = 0.3  # of an epoch spent waiting for data: more is worth a warning
WAIT_SECONDS = 5.0  # less than this is not


class Journal:
    """The rows of PREFIX_metrics.csv, ``history``, and everything that is made of them.

    ``settings`` may get other epochs before the first row. ``began`` are those that a resumed run
    had so far: what it has been advised is not said again. One that does not write keeps the rows.
    """

    def __init__(
        self,
        files: RunFiles,
        settings: TrainSettings,
        history: Sequence[Metrics] = (),
        corner_factor: float = 0.0,
        began: TrainSettings | None = None,
        writes: bool = True,
    ):
        self._writes = writes
        self.history = list(history)
        self._corner_factor = corner_factor
        self.settings, self._files = settings, files
        told = self._told_rows() if began else []
        self._advised: set[Rule] = {
            rule
            for end in range(len(told))
            for rule, _ in advice(told[: end + 1], began.epochs if began else 0, corner_factor)
        }
        self._drawn, self._warned = -math.inf, False
        self._events = EventWriter(files.events) if settings.tensorboard and writes else None
        if not can_draw():
            log.info("no %s: %s", files.curves.name, MISSING)

    def record(self, metrics: Metrics) -> None:
        """Add an epoch's row."""
        self.history.append(metrics)
        if not self._writes:
            return
        self._log(metrics)
        self._advise()
        with optional(self._files.metrics):
            write_metrics(self._files.metrics, self.history)
        if self._events:
            with optional(self._files.events):
                self._events.add(metrics)
        last = metrics["epoch"] == self.settings.epochs
        if can_draw() and (last or time.monotonic() - self._drawn > CURVE_SECONDS):
            self._draw()

    def curves_seconds(self, aside: RunFiles, columns: Iterable[str]) -> float:
        """Return how long it takes to draw these columns, into other files; 0 where none is."""
        if not can_draw():
            return 0.0
        taken = 0.0
        with optional(aside.curves):
            write_metrics(aside.metrics, [dict.fromkeys(columns, 1.0)] * 2)
            for _ in range(2):  # the first time, what draws is prepared
                start = time.perf_counter()
                draw_curves(aside.metrics, aside.curves)
                taken = time.perf_counter() - start
        return taken

    def close(self) -> None:
        """End what writes in the background."""
        if self._events:
            self._events.close()

    def _log(self, metrics: Metrics) -> None:
        epoch, epochs = int(metrics["epoch"]), self.settings.epochs
        costs = [
            f"{name} {metrics[column]:.4f}"
            for column, name in cost_parts(metrics).items()
            if not math.isnan(metrics[column])
        ]
        parts = [f"cost {metrics['cost']:.4f}" + (f" ({', '.join(costs)})" if costs else "")]
        if not math.isnan(coverage := metrics.get("sample_coverage", math.nan)):
            parts.append(f"samples cover {coverage:.2f}%")
        if not math.isnan(metrics["test_error"]):
            photos = f" (training photos {metrics['train_error']:.2f}%)"
            known = not math.isnan(metrics["train_error"])
            parts.append(f"test error {metrics['test_error']:.2f}%{photos * known}")
        parts.append(f"learn rate {metrics['learn_rate']:.4g}")
        parts.append(speed_text(metrics["images_per_second"]))
        parts.append(f"data {_wait_share([metrics]):.0%}")
        if "slowest_rank" in metrics:
            share, rank = metrics["exchange_share"], metrics["slowest_rank"]
            parts.append(f"exchange {share:.0f}%, slowest rank {rank:.0f}")
        if epoch < epochs:
            parts.append(f"{duration(self._seconds_left(epochs - epoch))} to the end")
        log.info("epoch %d/%d: %s", epoch, epochs, ", ".join(parts))
        share = _wait_share(self.history)
        waited = sum(row["wait_seconds"] for row in self.history)
        if share > WAIT_SHARE and waited > WAIT_SECONDS and not self._warned:
            self._warned = True
            more = "use fewer distortions or smaller images"
            mend = f"raise --thread-num, or {more}" if self.settings.thread_num else more
            log.warning("%.0f%% of the time went into waiting for data: %s", 100 * share, mend)

    def _advise(self) -> None:
        """Warn of what goes wrong, of each kind once."""
        for rule, text in advice(self.history, self.settings.epochs, self._corner_factor):
            if rule not in self._advised:
                self._advised.add(rule)
                log.warning("%s", text)

    def _told_rows(self) -> Sequence[Metrics]:
        """Return the rows that an earlier process has told, that of an epoch to repeat too."""
        try:
            columns = read_metrics(self._files.metrics)
        except DataError:
            return self.history
        rows = zip(*columns.values(), strict=True)
        told = [dict(zip(columns, row, strict=True)) for row in rows] if "epoch" in columns else []
        return [*self.history, *told[len(self.history) :]]

    def _draw(self) -> None:
        with optional(self._files.curves), atomic_write(self._files.curves) as temporary:
            draw_curves(self._files.metrics, temporary)
        self._drawn = time.monotonic()

    def _seconds_left(self, epochs: int) -> float:
        """Return the time that so many more epochs take if they are like the last one."""
        tests = [row["test_seconds"] for row in self.history if not math.isnan(row["test_seconds"])]
        test = tests[-1] / self.settings.test_epochs if tests else 0.0
        return epochs * (self.history[-1]["train_seconds"] + test)


def _wait_share(rows: Sequence[Metrics]) -> float:
    """Return the part of these epochs that was spent waiting for data."""
    seconds = sum(row["train_seconds"] for row in rows)
    return min(1.0, sum(row["wait_seconds"] for row in rows) / max(seconds, 1e-9))
