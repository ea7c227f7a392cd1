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

import numpy as np

from denet.dataset.loader import Batch, Loader
from denet.errors import DivergedError, WorkerError
from denet.printable import counted, printable
from denet.training.checkpoint import optional, write_record
from denet.training.learner import Learner, Measured
from denet.training.position import NOTHING, Position
from denet.training.progress import follow
from denet.training.settings import TrainSettings
from denet.training.team import ALONE, Team

REMEDY = "lower --learn-rate, or set --learn-warmup or --gradient-clip"
EARLIER = ", or start from an earlier model with --model"  # a state may be ruined, yet finite
NAMED_IMAGES = 3  # of a batch, in an error of one line
WISHES = ("stop", "save")  # what one rank may want all to do behind a step
BEHIND = 2  # results, a batch's and its step's, are left to be read when the next is at work


def _is_finite(found: Measured) -> bool:
    return math.isfinite(sum(found.costs.values()))


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
        team: Team = ALONE,
    ):
        self._learner, self._loader, self._team = learner, loader, team
        self.count, self.at = count, at
        self.follow_settings(settings)
        self._record, self._resumed = record, resumed
        self._unread: deque[Callable[[], None]] = deque()
        self._costs: dict[str, float] = {}  # of the batch that was read last
        self._measured: list[tuple[Batch, Measured]] = []  # of the step that is being read
        self._own = Position()  # sums of this rank over the steps that were not told yet
        self._fault: DivergedError | None = None  # of the first of them that diverged
        self._wishes, self._granted = set[str](), set[str]()

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
                last = number % factor == 0 or number == len(self._loader)
                self._add(batch, step, last)
                if self._costs:
                    progress.note(f"cost {sum(self._costs.values()):.4f}")
                if not last:
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

    def agreed(self, wishes: set[str]) -> set[str]:
        """Return which of WISHES some rank has: known at once alone, else when a step is read.

        They wait until the weights are whole.
        """
        self._wishes = wishes
        if not self._learner.is_whole:
            return set()
        if self._team.share.ranks == 1:
            return wishes
        granted, self._granted = self._granted, set()
        self._wishes = wishes - granted
        return granted

    def read(self, left: int = 0) -> None:
        """Read the results that were left, but for the last so many. Raises DivergedError."""
        while len(self._unread) > left:
            self._unread.popleft()()

    def rewind(self) -> None:
        """Take back the batches of a step that is not whole."""
        self._learner.restore_states()
        self.read()
        self._measured = []

    def _add(self, batch: Batch, step: int, last: bool) -> None:
        """Add a batch to a step."""
        size = self._settings.step_images
        images = min(size, self._loader.epoch_samples - step * size)  # of the whole step
        measured = self._learner.add(batch, batch.counted / images, last)

        def read() -> None:
            found = measured()
            self._costs = found.costs
            self._measured.append((batch, found))

        self._leave(read)

    def _update(self, batch: Batch, step: int) -> None:
        """Make a step with the batches that were added, the last of which is ``batch``."""
        rate = self.rate(step)
        alone = not self._learner.is_whole
        finite = self._learner.update(rate, step + 1 == self.count)
        whole = self._learner.is_whole
        self._learner.keep_states()  # a batch changes running averages before its step is made

        def read() -> None:
            measured, self._measured = self._measured, []
            ruined = next((each for each in measured if not _is_finite(each[1])), None)
            if not finite() and not ruined:
                ruined = measured[-1]
            self._count(measured, ruined)
            if whole:
                self._tell()
            self.at.step, self.at.learn_rate = step + 1, rate

        self._leave(read)
        if alone and whole:  # the ranks have waited for each other: what they wish counts now
            self.read()

    def _count(
        self, measured: list[tuple[Batch, Measured]], ruined: tuple[Batch, Measured] | None
    ) -> None:
        """Add what the batches of this rank were found to have to what it has not told yet."""
        for batch, found in measured:
            if batch.counted:
                self._own.add(sum(found.costs.values()), batch.counted, found.columns)
        if ruined and not self._fault:
            self._costs = ruined[1].costs
            self._fault = self._diverged(ruined[0])

    def _tell(self) -> None:
        """Add what all ranks have not told yet. Raises DivergedError."""
        own, names = self._own, self._learner.columns
        self._own = Position()
        own.take(0.0, 0, self._learner.timings())
        wished = [wish in self._wishes for wish in WISHES]
        pairs = [part for name in names for part in own.columns.get(name, NOTHING)]
        told = [self._fault is not None, *wished, own.cost, own.samples, *pairs]
        faults, *others = self._team.sum(np.array(told, np.float64)).tolist()
        if self._fault:
            raise self._fault
        if faults:
            raise WorkerError()
        self._granted |= {wish for wish, number in zip(WISHES, others, strict=False) if number}
        cost, samples, *sums = others[len(WISHES) :]
        self.at.take(
            cost,
            int(samples),
            {name: (sums[2 * i], sums[2 * i + 1]) for i, name in enumerate(names)},
        )

    def _leave(self, read: Callable[[], None]) -> None:
        self._unread.append(read)
        self.read(BEHIND)

    def _diverged(self, batch: Batch) -> DivergedError:
        """Return the error that tells all about a batch; write the names of its images."""
        each = ", ".join(f"{name} {value:g}" for name, value in self._costs.items())
        found = self._learner.first_not_finite(self._loader.again(batch))
        rate = self.rate(self.at.step)
        what = f"{self.place(1)}, learn rate {rate:g}, costs: {each}, {found}"
        names = [printable(self._loader.dataset.names[index]) for index in batch.indices]
        with optional(self._record):
            write_record(self._record, "\n".join([what, "images of the batch:", *names, ""]))
        shown = ", ".join(names[:NAMED_IMAGES])
        return DivergedError(
            f"training diverged: {what}, batch of {counted(len(names), 'image')} ({shown}, all in "
            f"{self._record}): {REMEDY}{self._resumed * EARLIER}"
        )
