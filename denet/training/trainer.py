"""The training loop: batches -> learner; state, tests, metrics and models after each epoch.

Trainer(model, train_set, test_set, TrainSettings(epochs=30), backend, "f32").run()
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from denet.dataset import BadDataError, Dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.distort import parse_distortions
from denet.dataset.loader import Loader
from denet.errors import DivergedError, OutOfMemoryError, UsageError
from denet.evaluate.detector import detects
from denet.graph.kernel import Backend
from denet.memory import advice, is_out_of_memory
from denet.model.format import save_model
from denet.model.format.content import check_labels
from denet.model.model import Model
from denet.training.checkpoint import RunFiles
from denet.training.disk import check_disk
from denet.training.interrupt import HeldSignal, hold_signals
from denet.training.journal import Journal
from denet.training.lock import Lock
from denet.training.memory import check_memory, fitting
from denet.training.objects import warn_of_objects
from denet.training.pace import Pace, Written, measure, measuring_seconds
from denet.training.position import Metrics, Position
from denet.training.progress import duration
from denet.training.settings import TrainSettings
from denet.training.state import State, dataset_record, tested_record, write_state
from denet.training.steps import REMEDY, Steps
from denet.training.team import ALONE, Team
from denet.training.tester import Tester, check_targets

T = TypeVar("T")

log = logging.getLogger(__name__)

# metrics that go into the model: no times, so that the same training gives the same file
SUMMARY = ("epoch", "learn_rate", "cost", "test_error", "test_top5_error")


class Trainer:
    """Trains ``model`` in place. What can be known to be wrong is found here, before any step.

    ``state`` is that of an interrupted run, whose model this must be: training goes on from there.
    ``most_steps`` cuts every epoch and test short, to try a training.
    Raises UsageError for settings that do not fit the network, DataError for datasets that do not
    fit and an output that cannot be written or holds another run, OutOfMemoryError. Settings in
    minutes are settled by ``run``; a resumed run keeps the epochs that it was settled on.
    """

    def __init__(
        self,
        model: Model,
        train_set: Dataset,
        test_set: Dataset | None,
        settings: TrainSettings,
        backend: Backend,
        precision: str = "f32",
        state: State | None = None,
        most_steps: int | None = None,
        team: Team = ALONE,
    ):
        self._team = team
        self._began = time.monotonic()
        model.check_trainable()
        check_targets(model, train_set)
        check_labels(model.class_labels, "training set")
        if len(model.class_labels) == 1 and not detects(model):
            log.warning("there is one class only: the model will call everything that")
        if isinstance(train_set, DetectionDataset) and detects(model):
            warn_of_objects(model, train_set)
        self.model = model
        self.files = RunFiles(settings.output_prefix, settings.model_suffix)
        self._test_data = tested_record(test_set, train_set) if test_set else {}
        if state:
            if settings.minutes:
                settings = replace(settings, epochs=state.settings.epochs)
            state.check(settings, train_set, self._test_data)
        self._data = state.data if state else dataset_record(train_set)
        self._images = state.images if state else train_set.image_checksums()
        self.settings = settings
        if state and state.components:
            train_set.components = state.components
        self._loader = Loader(
            train_set,
            min(settings.batch_size, train_set.epoch_samples),
            model.preprocessing,
            distortions=parse_distortions(settings.distort_mode),
            seed=settings.seed,
            thread_num=settings.thread_num,
            training=True,
            feed=backend.memory.feed,
            share=team.share,
        )
        step_num = -(-len(self._loader) // settings.batch_size_factor)  # of an epoch
        self._most_steps = most_steps
        if most_steps:
            step_num = min(step_num, most_steps)
        self._tester = (
            None
            if test_set is None
            else Tester(model, test_set, settings, backend, precision, train_set, team)
        )
        learner = partial(
            team.learner, model, self._loader.batch_size, settings, backend, precision
        )
        self._learner = fitting(learner, self._loader, self._tester, settings)
        self._tell(backend.name, precision)
        self._resumed = state is not None
        at = state.position if state else Position()
        steps = self._learner, self._loader, settings, step_num, at, self.files.diverged
        self._steps = Steps(*steps, self._resumed, team)
        self._best_error = math.inf
        self._ends = {settings.epochs}  # epochs after which the model is tested in any case
        if state:
            self._learner.resume(state.averages, state.iteration)
            self._best_error = state.best_error
            self._ends.add(state.settings.epochs)
        check_memory(self._learner, self._loader, self._tester)
        self._lock = self._take_files(state is None) if team.leads else None
        history, factor = state.history if state else (), self._learner.corner_factor
        began = state.settings if state else None
        self._journal = Journal(self.files, settings, history, factor, began, team.leads)
        if state:
            rate = self._steps.rate(at.step)
            log.info("resume: after %s, learn rate %.4g", self._steps.place(), rate)
        self._saved = time.monotonic()
        self._exchange_seconds = 0.0  # at the end of the last epoch

    def _take_files(self, new: bool) -> Lock:
        """Make the directory of a run this one's, of a new one its files too. Raises DataError."""
        self.files.prepare()
        lock = self.files.lock()
        if new:
            self.files.check_new(self.settings.overwrite)
        (self.files.clear if new else self.files.clear_leftovers)()
        return lock

    def _tell(self, backend: str, precision: str) -> None:
        """Say what will be trained with what; raise UsageError if it is nothing."""
        count, trained = self.model.parameter_count(), self._learner.trained_count
        if not trained:
            raise UsageError("--skip-layer-updates: every layer: leave at least one to train")
        share = "" if trained == count else f"{trained:,} of "
        dataset, each = self._loader.dataset, self._loader.epoch_samples
        images = int(dataset.usable(range(len(dataset))).sum())
        damaged = len(dataset) - images  # found since the set was opened, by who looked at pixels
        log.info(
            "training %s%s parameters on %s images%s%s with %s in %s",
            *(
                share,
                f"{count:,}",
                f"{images:,}",
                f" ({damaged:,} damaged left out)" * (damaged > 0),
            ),
            *(f", {each:,} of them in each epoch," * (each < images), backend, precision),
        )

        if dataset.own_colours and dataset.components:
            values = ", ".join(f"{value:.4g}" for value in dataset.components.values)
            log.info("principal components of its colours: eigenvalues %s", values)

    def run(self) -> list[Metrics]:
        """Train all epochs that are left; return the rows of PREFIX_metrics.csv.

        Raises DivergedError where a number is not finite, OutOfMemoryError, and DataError when the
        state has been saved. SIGHUP, SIGINT and SIGTERM take effect likewise, after the step in
        hand.
        """
        try:
            if self.settings.minutes and not self._resumed:
                self._settle_epochs(60 * self.settings.minutes)
            with hold_signals(before=self._save_interrupted) as held, self._careful():
                state = self._state()
                if self._team.leads:
                    check_disk(self.files, state, tested=self._tester is not None)
                if self.is_finished:
                    epoch = self.settings.epochs
                    log.info("the run has finished after %d epochs: larger --epochs go on", epoch)
                self._train_epochs(held)
        finally:
            self._journal.close()
            if self._lock:
                self._lock.release()
        return self._journal.history

    def measure(self, seconds: float) -> Pace:
        """Return the pace of a training that has not begun, see pace.py; nothing changes by it."""
        with self._careful():
            return measure(
                *(self._learner, self._loader, self._tester, self._write_aside),
                *(self.settings.test_epochs, seconds, self._lead_decides),
            )

    def _lead_decides(self, choice: T) -> T:
        """Return what rank 0 chooses."""
        chosen: T = self._team.gather(choice)[0]
        return chosen

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """Tell memory that is short with its mend; what overflows is told by cost or weights."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            mend = advice(self._loader.batch_size, self.settings.batch_size_factor)
            raise OutOfMemoryError(f"out of memory: {self._steps.place()}: {mend}") from error

    def _settle_epochs(self, budget: float) -> None:
        """Take as many epochs as fit into so many seconds since the beginning."""
        pace = self.measure(measuring_seconds(budget))
        left = budget - (time.monotonic() - self._began)
        epochs = self._lead_decides(pace.epochs_within(left))
        log.info("%s: %s", duration(budget), pace.text(epochs))
        if pace.seconds(1) > left:
            log.warning("%s are too short for a single epoch: training one", duration(budget))
        self.settings = replace(self.settings, epochs=epochs)
        self._journal.settings = self.settings
        self._steps.follow_settings(self.settings)
        self._ends = {epochs}

    def _train_epochs(self, held: HeldSignal) -> None:
        """Train and test the epochs that are left."""
        try:
            while self._at.epoch < self.settings.epochs and not self.is_finished:
                title = f"epoch {self._at.epoch + 1}/{self.settings.epochs}"
                with closing(self._steps.epoch(title)) as steps:
                    for _ in steps:
                        self._between_steps(held)
                self._finish_epoch(held)
        except BadDataError:
            if self._team.share.ranks == 1:  # others are in the midst of a step: none could save
                self._steps.rewind()
                self._save_interrupted()
            raise

    def _between_steps(self, held: HeldSignal) -> None:
        """Stop, or save the state, where a rank wants it."""
        wishes = {"stop"} if held.waits else set[str]()
        if self._at.step < self._steps.count and self._is_save_due():
            wishes.add("save")
        agreed = self._steps.agreed(wishes)
        if "stop" in agreed:
            held.release()
        if "save" in agreed:
            self._save_state()

    def _finish_epoch(self, held: HeldSignal) -> None:
        """Save the state; then test, record and save the models, all of which it can repeat."""
        self._save_state()
        if averaged := self._learner.averaged():
            self.model.set_values(self.model.values() | averaged)
        at, epoch = self._at, self._at.epoch + 1
        metrics = at.metrics(self._learner.columns) | self._slowest_rank()
        metrics |= self._test_if_due(epoch, held)
        self._journal.record(metrics)
        known = {name: metrics[name] for name in SUMMARY if not math.isnan(metrics[name])}
        self.model.summary = {**known, "settings": self.settings.record()}
        self._save_models(epoch, metrics["test_error"])
        self._steps.at = Position(epoch)

    def _slowest_rank(self) -> Metrics:
        """Return which rank the others waited for in this epoch, where there are several."""
        waited = self._team.gather(self._learner.exchange_seconds - self._exchange_seconds)
        self._exchange_seconds = self._learner.exchange_seconds
        return {"slowest_rank": float(np.argmin(waited))} if len(waited) > 1 else {}

    def _test_if_due(self, epoch: int, held: HeldSignal) -> Metrics:
        """Test after every ``test_epochs`` epochs and the last; return errors in per cent."""
        due = epoch % self.settings.test_epochs == 0 or epoch in self._ends
        if not self._tester or not due:
            return {}
        start = time.perf_counter()
        self._tester.load(self.model.values())
        # several ranks stop behind a step only, where all of them can
        check = held.check if self._team.share.ranks == 1 else _go_on
        result = self._tester.test(epoch, check, self._most_steps)
        return {
            "test_error": result.error,
            "test_top5_error": result.top5_error,
            "train_error": self._tester.train_error(check, self._most_steps),
            "test_seconds": time.perf_counter() - start,
        }

    def _save_models(self, epoch: int, test_error: float) -> None:
        """Write the models that this epoch calls for, the final one last."""
        if not self._team.leads:
            return
        if not self.settings.disable_intermediate:
            save_model(self.model, self.files.epoch(epoch))
        if test_error < self._best_error:
            self._best_error = test_error
            save_model(self.model, self.files.best)
        if epoch == self.settings.epochs:
            save_model(self.model, self.files.final(epoch))

    def _save_state(self) -> None:
        """Take the weights into the model and write all that going on needs."""
        self._steps.read()
        self._write_state(self.files)
        self._saved = time.monotonic()

    def _write_state(self, files: RunFiles) -> None:
        values = self._learner.values()
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise DivergedError(
                    f"training diverged: after {self._steps.place()}: {name} is not finite: "
                    f"{REMEDY}"
                )
        self.model.set_values(values)
        del values
        state = self._state()
        if self._team.leads:
            write_state(state, files.state)

    def _write_aside(self) -> Written:
        """Write what a training writes, and drop it; return how long that takes."""
        if not self._team.leads:
            self._write_state(self.files)  # its part of what the lead writes
            return Written(0.0, 0.0, 0.0)
        with self.files.scratch() as prefix:
            aside = RunFiles(prefix, self.settings.model_suffix)
            start = time.perf_counter()
            self._write_state(aside)
            middle = time.perf_counter()
            save_model(self.model, aside.epoch(1))
            model = time.perf_counter() - middle
            save = middle - start + (not self.settings.disable_intermediate) * model
            columns = self._at.metrics(self._learner.columns)
            return Written(save, model, self._journal.curves_seconds(aside, columns))

    def _state(self) -> State:
        return State(
            self.model,
            self._learner.averages(),
            self._learner.solver.iteration,
            self._at,
            self._best_error,
            self._journal.history,
            self.settings,
            self._data,
            self._test_data,
            self._images,
            self._loader.dataset.components,
        )

    def _is_save_due(self) -> bool:
        minutes = self.settings.model_save_dt
        return self._team.leads and minutes > 0 and time.monotonic() - self._saved > 60 * minutes

    def _save_interrupted(self) -> None:
        if self._most_steps:  # of a trial nothing is kept
            return
        self._save_state()
        log.warning(
            "interrupted after %s: --resume goes on from %s", self._steps.place(), self.files.state
        )

    @property
    def _at(self) -> Position:
        return self._steps.at

    @property
    def is_finished(self) -> bool:
        """Whether a resumed run had nothing left to do."""
        epoch, done = self._at.epoch + 1, self._at.step == self._steps.count
        return done and epoch == self.settings.epochs and self.files.final(epoch).exists()


def _go_on() -> None:
    pass
