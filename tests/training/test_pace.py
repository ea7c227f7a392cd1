"""Trainings of a given time: how many epochs they get, and that measuring leaves no trace."""

import logging
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from training.test_resume import SETTINGS, SignallingSet, begin, results, resume

from denet.errors import UsageError
from denet.report.plotting import can_draw
from denet.training.pace import Pace, _test_seconds, measuring_seconds
from denet.training.state import read_state
from denet.training.tester import Part

# an epoch takes 100 / 50 = 2 s and 0.5 s of saves; a test after epochs 3, 6, ... and the last 1 s
PACE = Pace(samples=100, speed=50.0, test=1.0, save=0.5, test_epochs=3)


@pytest.mark.parametrize(
    "epochs, seconds", [(1, 3.5), (2, 6), (3, 8.5), (4, 12), (6, 17), (7, 20.5)]
)
def test_seconds_by_hand(epochs, seconds):
    assert PACE.seconds(epochs) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "seconds, epochs",
    [(-1, 1), (0.1, 1), (3.5, 1), (5.9, 1), (6, 2), (11.9, 3), (12, 4), (20.4, 6), (20.5, 7)],
)
def test_epochs_by_hand(seconds, epochs):
    assert PACE.epochs_within(seconds) == epochs


# a final model, 0.25 s, and a picture, 1 s: at first, at the end and every 30 s
WHOLE = PACE._replace(last=0.25, curves=1.0)


@pytest.mark.parametrize(
    "epochs, seconds", [(1, 4.75), (2, 8.25), (3, 10.75), (9, 27.75), (12, 37.25)]
)
def test_seconds_of_curves_and_final_model_by_hand(epochs, seconds):
    assert WHOLE.seconds(epochs) == pytest.approx(seconds)
    assert WHOLE.epochs_within(seconds) == epochs
    assert WHOLE.epochs_within(seconds - 0.1) == max(1, epochs - 1)


def test_text():
    text = "4 epochs take about 12.0 s at 50 images/s, 33% of it for tests, saves and curves"
    assert PACE.text(4) == text
    assert PACE.text(1).startswith("1 epoch takes about 3.5 s")


@pytest.mark.parametrize("batches", [1, 3, 100])
def test_what_any_test_takes_is_counted_once(batches):
    """Half a second, and ten milliseconds for each batch."""
    part = Part(batches, lambda most: time.sleep(0.5 + most / 100))
    expected = 0.5 + batches / 100
    assert (
        expected <= _test_seconds(part, 0.1, bool) + 0.3
        and _test_seconds(part, 0.1, bool) < 4 * expected
    )


def test_a_few_per_cent_are_for_measuring():
    assert measuring_seconds(60) == pytest.approx(1.8)
    assert measuring_seconds(36000) == 30


KINDS = [
    {"average": "ema"},
    {"solver": "adam", "batch_size": 2, "batch_size_factor": 2, "gradient_clip": 0.1},
]


@pytest.mark.parametrize("changes", KINDS)
def test_measuring_leaves_no_trace(changes, tmp_path):
    run = begin(tmp_path, **changes)
    learner = run._learner

    def everything():
        arrays = {**learner.plan.values(), **learner.averages(), **run.model.values()}
        return {path: value.tobytes() for path, value in arrays.items()}, learner.solver.iteration

    before, files = everything(), sorted(tmp_path.iterdir())
    pace = run.measure(0.01)
    assert everything() == before and sorted(tmp_path.iterdir()) == files
    assert pace.samples == 8 and min(pace.speed, pace.save) > 0
    assert pace.test > pace.last > 0 and (pace.curves > 0) == can_draw()


@pytest.mark.parametrize("changes", KINDS)
def test_a_run_of_a_time_is_that_of_its_epochs(changes, tmp_path, caplog):
    changes = {**changes, "disable_intermediate": True, "test_epochs": 7}
    with caplog.at_level(logging.INFO):
        rows = begin(tmp_path / "timed", minutes=0.02, **changes).run()
    assert f"1.2 s: {len(rows)} epoch" in caplog.text
    assert read_state(tmp_path / "timed/model.state").settings.epochs == len(rows)
    begin(tmp_path / "counted", epochs=len(rows), **changes).run()
    assert results(tmp_path / "timed") == results(tmp_path / "counted")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_resumed_run_keeps_its_epochs(tmp_path):
    changes = {"disable_intermediate": True, "test_epochs": 1000, "minutes": 1 / 6}
    run = begin(tmp_path / "timed", **changes)
    pace = Pace(samples=8, speed=8.0, test=0.0, save=0.0, test_epochs=1000)
    run.measure = lambda seconds: pace  # else the epochs were those of a machine's mood
    data = run._loader.dataset = SignallingSet(signal.SIGINT, at=10**9)
    save = run._save_state

    def save_then_stop():  # a state of the first epoch is there: stop the run soon after
        save()
        data._left = 2

    run._save_state = save_then_stop
    with pytest.raises(KeyboardInterrupt):
        run.run()
    epochs = read_state(tmp_path / "timed/model.state").settings.epochs
    assert 2 < epochs <= 10
    assert len(resume(tmp_path / "timed", **changes).run()) == epochs
    changes.pop("minutes")
    begin(tmp_path / "counted", epochs=epochs, **changes).run()
    assert results(tmp_path / "timed") == results(tmp_path / "counted")


def test_too_short_a_time_is_told(tmp_path, caplog):
    assert len(begin(tmp_path, minutes=1e-6).run()) == 1
    assert "0.0 s are too short for a single epoch: training one" in caplog.text


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"minutes": 0.0}, "minutes: 0.0: give a positive number"),
        ({"minutes": np.inf}, "minutes: inf"),
        (
            {"minutes": 1.0, "learn_anneal_epochs": (5,), "learn_anneal": 0.1},
            "learn-anneal-epochs: together with --minutes",
        ),
    ],
)
def test_wrong_settings_are_told(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, learn_cosine=False, **changes)
