"""The steps of an epoch: batches -> learner, whose results are read while the next step is at work.

steps = Steps(learner, loader, settings, count, Position(), files.diverged)
for _ in steps.epoch("epoch 1/30"):
    ...  # behind each step
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from denet.dataset.loader import Batch, Loader
from denet.errors import DivergedError
from denet.printable import counted, printable
from denet.train.checkpoint import optional, write_record
from denet.train.learner import Learner, Measured
from denet.train.position import Position
from denet.train.progress import follow
from denet.train.settings import TrainSettings

REMEDY = "lower --learn-rate, or set --learn-warmup or --gradient-clip"
EARLIER = ", or start from an earlier model with --model"  # a state may be ruined, yet finite
NAMED_IMAGES = 3  # of a batch, in an error of one line
BEHIND = 2  # results, a batch's and its step's, are left to be read when the next is at work


class Steps:
    """Makes the ``count`` steps of each epoch.

    ``at`` is how far those are whose results were read; it counts whole steps only. What the batch
    of a diverged step held is written to ``record``. ``resumed`` runs may be ruined already.
    """

    def __init__(
        self,
        learner: Learner,
        loader: Loader,
        settings: TrainSettings,
        count: int,
        at: Position,
        record: Path,
        resumed: bool = False,
    ):
        self._learner, self._loader = learner, loader
        self.count, self.at = count, at
        self.follow_settings(settings)
        self._record, self._resumed = record, resumed
        self._unread: deque[Callable[[], None]] = deque()
        self._costs: dict[str, float] = {}  # of the batch that was read last
        self._measured: list[tuple[float, Measured, int]] = []  # of the step that is being read

    def follow_settings(self, settings: TrainSettings) -> None:
        """Take other settings: those of a run whose epochs are known by now."""
        self._settings, self._schedule = settings, settings.schedule()

    def rate(self, step: int) -> float:
        """Return the learn rate of a step (from 0) of the epoch in hand."""
        return self._schedule.rate(self.at.epoch, step, self.count)

    def place(self, steps: int = 0) -> str:
        """Return the last step that was read, or one that comes ``steps`` later."""
        epoch, epochs = self.at.epoch + 1, self._settings.epochs
        return f"epoch {epoch}/{epochs}, iteration {self.at.step + steps}/{self.count}"

    def epoch(self, title: str) -> Generator[None, None, None]:
        """Make the steps that the epoch in hand still lacks; yield behind each. DivergedError."""
        at, step, factor = self.at, self.at.step, self._settings.batch_size_factor
        self._learner.keep_states()
        if step == self.count:
            return
        mark, waited = time.perf_counter(), self._loader.wait_seconds
        batches = follow(self._loader, at.epoch, title, self._settings.log_every, step * factor)
        with closing(batches):
            for number, (batch, progress) in enumerate(batches, step * factor + 1):
                self._add(batch, step)
                if self._costs:
                    progress.note(f"cost {sum(self._costs.values()):.4f}")
                if number % factor and number < len(self._loader):
                    continue
                self._update(batch, step)
                step += 1
                if step == self.count:
                    self.read()
                now, wait = time.perf_counter(), self._loader.wait_seconds
                at.train_seconds += now - mark
                at.wait_seconds += wait - waited
                yield
                if step == self.count:
                    return
                mark, waited = time.perf_counter(), wait

    def read(self, left: int = 0) -> None:
        """Read the results that were left, but for the last so many. Raises DivergedError."""
        while len(self._unread) > left:
            self._unread.popleft()()

    def rewind(self) -> None:
        """Take back the batches of a step that is not whole."""
        self._learner.restore_states()
        self.read()
        self._measured = []

    def _add(self, batch: Batch, step: int) -> None:
        """Add a batch to a step."""
        size = self._loader.batch_size * self._settings.batch_size_factor
        images = min(size, self._loader.epoch_samples - step * size)  # of the whole step
        measured = self._learner.add(batch, len(batch.data) / images)

        def read() -> None:
            found = measured()
            self._costs, cost = found.costs, sum(found.costs.values())
            if not math.isfinite(cost):
                raise self._diverged(batch)
            self._measured.append((cost, found, len(batch.data)))

        self._leave(read)

    def _update(self, batch: Batch, step: int) -> None:
        """Make a step with the batches that were added, the last of which is ``batch``."""
        rate = self.rate(step)
        finite = self._learner.update(rate)
        self._learner.keep_states()  # a batch changes running averages before its step is made

        def read() -> None:
            if not finite():
                raise self._diverged(batch)
            for cost, found, count in self._measured:
                self.at.add(cost, count, found.columns)
            self._measured = []
            self.at.step, self.at.learn_rate = step + 1, rate

        self._leave(read)

    def _leave(self, read: Callable[[], None]) -> None:
        self._unread.append(read)
        self.read(BEHIND)

    def _diverged(self, batch: Batch) -> DivergedError:
        """Return the error that tells all about a batch; write the names of its images."""
        each = ", ".join(f"{name} {value:g}" for name, value in self._costs.items())
        found, rate = self._learner.first_not_finite(batch), self.rate(self.at.step)
        what = f"{self.place(1)}, learn rate {rate:g}, costs: {each}, {found}"
        names = [printable(self._loader.dataset.names[index]) for index in batch.indices]
        with optional(self._record):
            write_record(self._record, "\n".join([what, "images of the batch:", *names, ""]))
        shown = ", ".join(names[:NAMED_IMAGES])
        return DivergedError(
            f"training diverged: {what}, batch of {counted(len(names), 'image')} ({shown}, all in "
            f"{self._record}): {REMEDY}{self._resumed * EARLIER}"
        )
