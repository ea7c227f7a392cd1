"""How long a training takes, from a few steps, a part of a test and a save that are not kept.

pace = measure(learner, loader, tester, write, test_epochs=1, seconds=5.0)
pace.seconds(30), pace.epochs_within(600)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import count
from typing import NamedTuple

from denet.dataset.loader import Batch, Loader
from denet.training.journal import CURVE_SECONDS
from denet.training.learner import Learner
from denet.training.progress import duration, speed_text
from denet.training.tester import Part, Tester

UNTIMED_STEPS = 2  # in which kernels are prepared and memory is touched for the first time
FEWEST_STEPS = 3  # that are timed
BUDGET_SHARE = 0.03  # of a training's time, to measure its pace
MOST_SECONDS = 30.0  # more of it would not make the measure better


class Written(NamedTuple):
    """Seconds that it takes to write: what is saved after an epoch, a model, the curves."""

    save: float
    model: float
    curves: float


class Pace(NamedTuple):
    """What one epoch, one test, one save and one picture take.

    samples      images in an epoch
    speed        images trained in a second, loading included
    test         seconds of a test, after every ``test_epochs`` epochs and the last, and of saving
                 the model where it is the best one; 0 = none
    save         seconds of the saves after an epoch
    last         seconds of saving the final model
    curves       seconds of drawing the curves, at the end and every CURVE_SECONDS
    """

    samples: int
    speed: float
    test: float
    save: float
    test_epochs: int
    last: float = 0.0
    curves: float = 0.0

    def seconds(self, epochs: int) -> float:
        """Return how long a training of so many epochs takes."""
        tests = -(-epochs // self.test_epochs)
        rest = epochs * (self.samples / self.speed + self.save) + tests * self.test + self.last
        return rest + self.curves * min(epochs, 2 + rest // CURVE_SECONDS)

    def epochs_within(self, seconds: float) -> int:
        """Return the most epochs that take at most so long, and 1 where not even one does."""
        least = self.samples / self.speed + self.save + self.test / self.test_epochs  # of an epoch
        epochs = max(1, int(seconds / least))
        while epochs > 1 and self.seconds(epochs) > seconds:
            epochs -= 1
        return epochs

    def text(self, epochs: int) -> str:
        """Return the time of so many epochs in words."""
        other = 1 - epochs * self.samples / self.speed / self.seconds(epochs)
        unit = "epoch takes" if epochs == 1 else "epochs take"
        return (
            f"{epochs} {unit} about {duration(self.seconds(epochs))} at {speed_text(self.speed)}, "
            f"{other:.0%} of it for tests, saves and curves"
        )


def measure(
    learner: Learner,
    loader: Loader,
    tester: Tester | None,
    write: Callable[[], Written],
    test_epochs: int,
    seconds: float,
    decide: Callable[[bool], bool] = bool,
) -> Pace:
    """Return the pace of a training that has not begun, and leave it as it was.

    ``write`` writes somewhere what a training writes. Steps are timed for ``seconds``, and a test
    for half of it; all of this takes longer where steps or tests are slow. ``decide`` has several
    ranks go on for equally long.
    """
    try:
        speed = _training_speed(learner, loader, seconds, decide)
    finally:
        learner.restart()
    parts = tester.parts if tester else []
    test = sum(_test_seconds(part, seconds / 4, decide) for part in parts)
    save, model, curves = write()
    test += model if tester else 0.0
    return Pace(loader.epoch_samples, speed, test, save, test_epochs, model, curves)


def measuring_seconds(budget: float) -> float:
    """Return for how long to time the steps of a training that has so many seconds."""
    return min(BUDGET_SHARE * budget, MOST_SECONDS)


def _training_speed(
    learner: Learner, loader: Loader, seconds: float, decide: Callable[[bool], bool]
) -> float:
    """Return the images per second of steps of no length, whose batches are loaded as ever.

    Only the second half of the seconds counts: photos are decoded in the first that are kept.
    """
    images, steps, begin, start = 0, 0, time.perf_counter(), 0.0
    with closing(_endless(loader)) as batches:
        for number, batch in enumerate(batches, 1):
            last = number % learner.factor == 0
            learner.add(batch, 1 / learner.factor, last)()
            images += batch.total
            if not last:
                continue
            learner.update(0.0)()
            steps, now = steps + 1, time.perf_counter()
            fewest = FEWEST_STEPS if start else UNTIMED_STEPS
            if steps < fewest or not decide(now - (start or begin) >= seconds / 2):
                continue
            if start:
                return images / (now - start)
            images, steps, start = 0, 0, now
    raise AssertionError("endless")


def _endless(loader: Loader) -> Generator[Batch, None, None]:
    for epoch in count():
        yield from loader.epoch(epoch)


def _test_seconds(part: Part, seconds: float, decide: Callable[[bool], bool]) -> float:
    """Return how long a part of a test takes, from as many of its batches as fill ``seconds``.

    What any test takes, however short, is counted once.
    """
    part.run(1)  # kernels are prepared
    first, most = _seconds(part, 1), 1
    taken = first
    while most < part.batch_num and (most == 1 or decide(taken < seconds)):
        most = min(2 * most, part.batch_num)
        taken = _seconds(part, most)
    each = max(0.0, taken - first) / max(1, most - 1)
    return taken + each * (part.batch_num - most)


def _seconds(part: Part, most: int) -> float:
    start = time.perf_counter()
    part.run(most)
    return time.perf_counter() - start
