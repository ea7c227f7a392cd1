"""The training loop: batches -> plan -> solver; tests, metrics and checkpoints after each epoch.

Trainer(model, train_set, test_set, TrainSettings(epochs=30), backend, "f32").run()
"""

from __future__ import annotations

import logging
import math
import time

import numpy as np

from denet.dataset import Dataset
from denet.dataset.base import thread_count
from denet.dataset.distort import parse_distortions
from denet.dataset.loader import Batch, Loader
from denet.errors import DivergedError, UsageError
from denet.evaluate.classifier import check_fit
from denet.evaluate.plan_set import PlanSet
from denet.graph.graph import Graph
from denet.graph.kernel import Backend
from denet.model.format import save_model
from denet.model.format.atomic import atomic_write
from denet.model.model import Model
from denet.report.curves import MISSING, can_draw, draw_curves
from denet.report.metrics import append_metrics
from denet.train.checkpoint import RunFiles
from denet.train.interrupt import HeldSignal, hold_signals
from denet.train.progress import duration, follow
from denet.train.settings import TrainSettings
from denet.train.solver import Solver, make_solver
from denet.train.tester import Tester

log = logging.getLogger(__name__)

Metrics = dict[str, float]  # a row of metrics.csv

REMEDY = "lower --learn-rate, or set --learn-warmup or --gradient-clip"
SOLVER_THREADS = 8  # beyond these an update is bound by memory, not by cores
CURVE_SECONDS = 30.0  # between two pictures: short epochs need not wait for each
WAIT_SECONDS = 5.0  # waiting for data below this is not worth a warning
# metrics that go into the model: no times, so that the same training gives the same file
SUMMARY = ("epoch", "learn_rate", "cost", "test_error", "test_top5_error")


class Trainer:
    """Trains ``model`` in place. What can be known to be wrong is found here, before any step.

    Raises UsageError for settings that do not fit the network and an output that holds a run,
    DataError for datasets that do not fit and an output that cannot be written, OutOfMemoryError.
    """

    def __init__(
        self,
        model: Model,
        train_set: Dataset,
        test_set: Dataset | None,
        settings: TrainSettings,
        backend: Backend,
        precision: str = "f32",
    ):
        model.check_trainable()
        check_fit(model, train_set)
        if len(model.class_labels) == 1:
            log.warning("there is one class only: the model will call everything that")
        self.model, self.settings = model, settings
        self.files = RunFiles(settings.output_prefix, settings.model_suffix)
        self.history: list[Metrics] = []  # the rows of metrics.csv
        self._factors = {cost.name: cost.factor for cost in self._graph(1).costs}
        self._schedule = settings.schedule()
        self._loader = Loader(
            train_set,
            min(settings.batch_size, len(train_set)),
            model.preprocessing,
            distortions=parse_distortions(settings.distort_mode),
            seed=settings.seed,
            thread_num=settings.thread_num,
            shuffle=True,
        )
        self._plans = PlanSet(self._graph, self._loader.batch_size, backend, "train", precision)
        self._plans.full.load(model.values())
        self._solver = self._make_solver()
        self._tester = (
            None if test_set is None else Tester(model, test_set, settings, backend, precision)
        )
        self._best_error, self._drawn = math.inf, -math.inf
        self.files.check(settings.overwrite)
        self.files.clear()

    def run(self) -> list[Metrics]:
        """Train all epochs; return the rows of metrics.csv.

        Raises DivergedError where a cost is not a finite number. SIGINT and SIGTERM take effect
        after the batch in hand, when the model has been saved.
        """
        if not can_draw():
            log.info("no curves.png: %s", MISSING)
        # what overflows is told by its cost or its weights
        quiet = np.errstate(over="ignore", invalid="ignore")
        with hold_signals(before=self._save_interrupted) as held, quiet:
            for epoch in range(self.settings.epochs):
                metrics = self._train_epoch(epoch, held)
                self._take_weights(f"end of epoch {epoch + 1}")
                metrics |= self._test_if_due(epoch + 1, held)
                self._record(metrics)
                self._save(epoch + 1, metrics["test_error"])
        return self.history

    def _train_epoch(self, epoch: int, held: HeldSignal) -> Metrics:
        """Take one step per batch; return the epoch's row of metrics, nothing tested yet."""
        start, waited = time.perf_counter(), self._loader.wait_seconds
        title = f"epoch {epoch + 1}/{self.settings.epochs}"
        total, samples, rate = 0.0, 0, 0.0
        for step, (batch, progress) in enumerate(follow(self._loader, epoch, title)):
            rate = self._schedule.rate(epoch, step, len(self._loader))
            cost = self._step(batch, rate, f"{title}, iteration {step + 1}")
            total += cost * len(batch.data)
            samples += len(batch.data)
            progress.note(f"cost {cost:.4f}")
            held.check()
        seconds = time.perf_counter() - start
        return {
            "epoch": epoch + 1,
            "learn_rate": rate,
            "cost": total / samples,
            **dict.fromkeys(("test_error", "test_top5_error"), math.nan),
            "images_per_second": samples / seconds,
            "train_seconds": seconds,
            "wait_seconds": self._loader.wait_seconds - waited,
            "test_seconds": math.nan,
        }

    def _step(self, batch: Batch, rate: float, where: str) -> float:
        """Run one batch forward and backward, update the weights; return the cost."""
        plan = self._plans[len(batch.data)]
        inputs = {"data": batch.data, "class_index": batch.class_index}
        costs = {name: float(c) for name, c in plan.run(inputs, batch.sample_keys).items()}
        cost = sum(self._factors[name] * value for name, value in costs.items())
        if not math.isfinite(cost):
            each = ", ".join(f"{name} {value:g}" for name, value in costs.items())
            raise DivergedError(
                f"training diverged: {where}: learn rate {rate:g}, costs: {each}: {REMEDY}"
            )
        self._solver.update(plan.weights, plan.gradients, rate)
        return cost

    def _take_weights(self, where: str) -> None:
        """Copy the trained weights into the model, so that no file ever holds broken ones."""
        values = self._plans.full.values()
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise DivergedError(f"training diverged: {where}: {name} is not finite: {REMEDY}")
        self.model.set_values(values)

    def _test_if_due(self, epoch: int, held: HeldSignal) -> Metrics:
        """Test after every ``test_epochs`` epochs and the last; return errors in per cent."""
        due = epoch % self.settings.test_epochs == 0 or epoch == self.settings.epochs
        if not self._tester or not due:
            return {}
        start = time.perf_counter()
        self._tester.load(self.model.values())
        errors = self._tester.test(epoch, held.check)
        return {
            "test_error": errors.top1_error,
            "test_top5_error": errors.top_error,
            "test_seconds": time.perf_counter() - start,
        }

    def _record(self, metrics: Metrics) -> None:
        """Write the epoch into the log, metrics.csv, curves.png and the model's summary."""
        self.history.append(metrics)
        self._log(metrics)
        append_metrics(self.files.metrics, metrics)
        last = metrics["epoch"] == self.settings.epochs
        if can_draw() and (last or time.monotonic() - self._drawn > CURVE_SECONDS):
            with atomic_write(self.files.curves) as temporary:
                draw_curves(self.files.metrics, temporary)
            self._drawn = time.monotonic()
        known = {name: metrics[name] for name in SUMMARY if not math.isnan(metrics[name])}
        self.model.summary = {**known, "settings": self.settings.record()}

    def _log(self, metrics: Metrics) -> None:
        epoch, epochs = int(metrics["epoch"]), self.settings.epochs
        parts = [f"cost {metrics['cost']:.4f}"]
        if not math.isnan(metrics["test_error"]):
            parts.append(f"test error {metrics['test_error']:.2f}%")
        parts.append(f"learn rate {metrics['learn_rate']:.4g}")
        parts.append(f"{metrics['images_per_second']:.0f} images/s")
        parts.append(f"waited {duration(metrics['wait_seconds'])} for data")
        if epoch < epochs:
            parts.append(f"{duration(self._seconds_left(epochs - epoch))} left")
        log.info("epoch %d/%d: %s", epoch, epochs, ", ".join(parts))
        if metrics["wait_seconds"] > max(WAIT_SECONDS, metrics["train_seconds"] / 2):
            log.warning("training waits for data most of the time: raise --thread-num")

    def _seconds_left(self, epochs: int) -> float:
        """Return the time that so many more epochs take if they are like the last one."""
        tests = [row["test_seconds"] for row in self.history if not math.isnan(row["test_seconds"])]
        test = tests[-1] / self.settings.test_epochs if tests else 0.0
        return epochs * (self.history[-1]["train_seconds"] + test)

    def _save(self, epoch: int, test_error: float) -> None:
        """Write the models that this epoch calls for."""
        if not self.settings.disable_intermediate:
            save_model(self.model, self.files.epoch(epoch))
        if test_error < self._best_error:
            self._best_error = test_error
            save_model(self.model, self.files.best)
        if epoch == self.settings.epochs:
            save_model(self.model, self.files.final(epoch))

    def _save_interrupted(self) -> None:
        self._take_weights("interrupted")
        save_model(self.model, self.files.interrupted)
        log.warning("interrupted: the model is saved as %s", self.files.interrupted)

    def _graph(self, batch_size: int) -> Graph:
        """Return the network's graph with the costs weighted and the skipped layers frozen."""
        settings, layer_num = self.settings, len(self.model.layers)
        for layer in settings.skip_layer_updates:
            if not 1 <= layer <= layer_num:
                raise UsageError(f"skip-layer-updates: {layer}: give numbers from 1 to {layer_num}")
        frozen = frozenset(settings.skip_layer_updates)
        graph = self.model.graph(batch_size, settings.label_smoothing, frozen)
        factors = settings.cost_factors or [1.0] * len(graph.costs)
        if len(factors) != len(graph.costs):
            names = ", ".join(cost.name for cost in graph.costs)
            raise UsageError(
                f"cost-factors: {len(factors)} given: the network has {len(graph.costs)} "
                f"({names}): give one for each"
            )
        for cost, factor in zip(graph.costs, factors, strict=True):
            cost.factor = factor
        return graph

    def _make_solver(self) -> Solver:
        settings, plan = self.settings, self._plans.full
        return make_solver(
            settings.solver,
            plan.weights.size,
            plan.decay_size,
            settings.learn_momentum,
            settings.learn_decay,
            decay_all=settings.learn_decay_all,
            clip=settings.gradient_clip,
            threads=min(thread_count(None), SOLVER_THREADS),
        )
