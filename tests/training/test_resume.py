"""A training that was stopped and resumed ends as if nothing had happened, to the bit."""

import json
import logging
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from training.tiny import TinySet, tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset import BadDataError
from denet.errors import DataError, UsageError
from denet.model.format import load_model
from denet.report.metrics import read_metrics
from denet.training.interrupt import hold_signals
from denet.training.settings import TrainSettings
from denet.training.state import read_state
from denet.training.trainer import Trainer

SETTINGS = TrainSettings(
    epochs=3,
    batch_size=3,
    learn_rate=0.05,
    learn_momentum=(0.9, 0.99),
    learn_decay=0.01,
    learn_cosine=True,
    learn_warmup=0.5,
    distort_mode=("o1", "m50"),
    test_epochs=2,
)
TEXT = "CM[5,0.5] C.B[12,3] BN A D[0.2] P.A R"
KINDS = [
    {},
    {"solver": "adam"},
    {"solver": "sgd", "batch_size": 2, "batch_size_factor": 3},
    {"learn_momentum": (0.0,), "skip_layer_updates": ("2",)},
    {"solver": "momentum", "layer_rates": ("conv=0.5",), "layer_decays": ("1-4=3",)},
    {"solver": "sgd", "layer_momenta": ("conv=0.5", "class-conv=0")},
    {"average": "ema"},
    {"average": "ema", "solver": "adam", "batch_size": 1, "batch_size_factor": 3},
]


class SignallingSet(TinySet):
    """Sends a signal to this process when it is read for the ``at``-th time."""

    def __init__(self, number: int, at: int):
        super().__init__(tiny_set().images_read, [0, 1] * 4, 2)
        self._number, self._left = number, at

    def stored(self, indices):
        return self.images_read[indices]  # looked at once before the training

    def read(self, indices):
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._number)
        return super().read(indices)


def begin(directory, train_set=None, **changes):
    settings = replace(SETTINGS, output_prefix=str(directory / "model"), **changes)
    train_set = train_set or tiny_set()
    return Trainer(tiny_model(text=TEXT), train_set, tiny_set(seed=1), settings, NumpyBackend())


def resume(directory, train_set=None, **changes):
    settings = replace(SETTINGS, output_prefix=str(directory / "model"), **changes)
    state = read_state(directory / "model.state")
    train_set = train_set or tiny_set()
    return Trainer(state.model, train_set, tiny_set(seed=1), settings, NumpyBackend(), "f32", state)


def stopped(directory, at, **changes):
    """Train until the ``at``-th read of the training set; return whether it was stopped."""
    try:
        begin(directory, SignallingSet(signal.SIGINT, at), **changes).run()
    except KeyboardInterrupt:
        return True
    return False


def results(directory):
    """Return the models and the tests, as bytes, and the columns of metrics.csv but the times."""
    names = sorted(path.name for path in directory.iterdir() if path.suffix in (".mdl", ".test"))
    metrics = read_metrics(directory / "model_metrics.csv")
    kept = {name: column for name, column in metrics.items() if "second" not in name}
    return {name: (directory / name).read_bytes() for name in names}, json.dumps(kept)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("factor", [1, 2])
def test_epochs_of_a_part_of_the_set(tmp_path, caplog, factor, monkeypatch):
    """Five images an epoch: steps, rates and the part that is drawn are those of a straight run."""
    monkeypatch.setattr(TinySet, "epoch_limit", 5)
    changes = {"batch_size": 2, "batch_size_factor": factor, "log_every": 0}
    with caplog.at_level(logging.INFO):
        trainer = begin(tmp_path / "straight", **changes)
        trainer.run()
    assert "parameters on 8 images, 5 of them in each epoch, with numpy" in caplog.text
    assert "batch 2/3" in caplog.text and "batch 3/3" not in caplog.text
    state = read_state(tmp_path / "straight/model.state")
    steps = {1: 3, 2: 2}[factor]
    assert state.iteration == 3 * steps
    assert (state.position.step, state.position.samples) == (steps, 5)
    expected = results(tmp_path / "straight")
    stops = 0
    for at in range(1, 9):
        directory = tmp_path / f"stopped{at}"
        stops += stopped(directory, at, **changes)
        resume(directory, **changes).run()
        assert results(directory) == expected, at
    assert stops > 3
    monkeypatch.setattr(TinySet, "epoch_limit", 6)
    with pytest.raises(DataError, match="with other subset_num"):
        resume(tmp_path / "straight", **changes)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("changes", KINDS)
def test_a_resumed_run_ends_like_a_straight_one(changes, tmp_path):
    begin(tmp_path / "straight", **changes).run()
    expected = results(tmp_path / "straight")
    stops = 0
    for at in range(1, 14):
        directory = tmp_path / f"stopped{at}"
        stops += stopped(directory, at, **changes)
        resume(directory, **changes).run()
        assert results(directory) == expected, at
    assert stops > 3


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_a_signal_saves_the_state_first(name, tmp_path, caplog):
    class Terminated(Exception):
        pass

    def terminate(number, frame):
        raise Terminated

    number = getattr(signal, name)
    run = begin(tmp_path, SignallingSet(number, at=6), epochs=1000)
    before = signal.signal(number, terminate)
    try:
        with caplog.at_level(logging.WARNING), pytest.raises(Terminated):
            run.run()
        assert signal.getsignal(number) is terminate
    finally:
        signal.signal(number, before)
    saved = load_model(tmp_path / "model.state")  # a state is a model, too
    for name, value in run._learner.plan.values().items():
        np.testing.assert_array_equal(saved.values()[name], value)
    assert "--resume goes on" in caplog.text and "model.state" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_trial_that_is_interrupted_keeps_nothing(tmp_path, caplog):
    settings = replace(SETTINGS, output_prefix=str(tmp_path / "model"))
    data = SignallingSet(signal.SIGINT, at=1)
    trial = Trainer(tiny_model(text=TEXT), data, None, settings, NumpyBackend(), most_steps=2)
    with pytest.raises(KeyboardInterrupt):
        trial.run()
    assert list(tmp_path.iterdir()) == [] and "--resume" not in caplog.text


def test_states_are_saved_within_an_epoch(tmp_path, monkeypatch):
    positions = []
    monkeypatch.setattr(
        "denet.training.trainer.write_state",
        lambda state, path: positions.append((state.position.epoch, state.position.step)),
    )
    begin(tmp_path / "a", epochs=2, model_save_dt=1e-9).run()
    begin(tmp_path / "b", epochs=2, model_save_dt=0.0).run()
    begin(tmp_path / "c", epochs=2).run()  # half an hour
    assert positions == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)] + 2 * [(0, 3), (1, 3)]


def test_more_epochs_go_on_as_if_they_had_been_planned(tmp_path):
    constant = {"learn_cosine": False, "test_epochs": 1}
    begin(tmp_path / "straight", epochs=4, **constant).run()
    begin(tmp_path / "grown", epochs=2, **constant).run()
    resume(tmp_path / "grown", epochs=4, **constant).run()
    files, metrics = results(tmp_path / "grown")
    expected, expected_metrics = results(tmp_path / "straight")
    assert metrics == expected_metrics
    for name in ("model_epoch004_final.mdl", "model_best.mdl"):
        one, other = (load_model(tmp_path / run / name) for run in ("straight", "grown"))
        for path, value in one.values().items():
            np.testing.assert_array_equal(other.values()[path], value)
    assert files.keys() - expected.keys() == {"model_epoch002_final.mdl"}


def test_a_run_that_has_finished_is_left_alone(tmp_path, caplog):
    begin(tmp_path).run()
    before = results(tmp_path)
    with caplog.at_level(logging.INFO):
        resume(tmp_path).run()
    assert "the run has finished after 3 epochs" in caplog.text
    assert results(tmp_path) == before


def test_a_best_model_of_before_is_not_replaced_by_a_worse_one(tmp_path):
    begin(tmp_path, epochs=2).run()
    state = read_state(tmp_path / "model.state")
    best = (tmp_path / "model_best.mdl").read_bytes()
    state.best_error = -1.0  # nothing can be better
    settings = replace(SETTINGS, output_prefix=str(tmp_path / "model"), epochs=6)
    data = tiny_set(), tiny_set(seed=1)
    Trainer(state.model, *data, settings, NumpyBackend(), "f32", state).run()
    assert (tmp_path / "model_best.mdl").read_bytes() == best


CHANGES = [
    ({"seed": 1}, UsageError, "resume: seed: 1 but the run began with 23455"),
    ({"batch_size": 4}, UsageError, "batch-size 4 times batch-size-factor 1 is not 3 as before"),
    ({"solver": "adam"}, UsageError, "resume: solver: adam but"),
    ({"learn_momentum": (0.0, 0.0)}, DataError, "state: its averages do not fit"),
    ({"epochs": 2}, UsageError, "epochs: 2: the run is in epoch 3 already"),
    ({"train_set": tiny_set(size=6)}, DataError, "changed: 6 images, 8 when the run began"),
    ({"train_set": tiny_set(seed=9)}, DataError, "8 when the run began, with other pixels: bring"),
]


@pytest.mark.parametrize("changes, error, message", CHANGES)
def test_what_would_be_another_training_is_refused(changes, error, message, tmp_path):
    begin(tmp_path).run()
    before = results(tmp_path)
    with pytest.raises(error, match=message):
        resume(tmp_path, **changes)
    assert results(tmp_path) == before


def test_a_step_may_be_taken_in_smaller_parts(tmp_path, caplog):
    begin(tmp_path).run()
    resume(tmp_path, epochs=4, batch_size=1, batch_size_factor=3).run()
    assert "batch-size-factor: 3 instead of 1 from here on" in caplog.text


def test_what_may_change_is_told(tmp_path, caplog):
    begin(tmp_path).run()
    resume(tmp_path, epochs=4, learn_decay=0.5)
    assert "epochs: 4 instead of 3 from here on" in caplog.text
    assert "learn-decay: 0.5 instead of 0.01 from here on" in caplog.text


def test_another_test_set_is_told(tmp_path, caplog):
    begin(tmp_path).run()
    state = read_state(tmp_path / "model.state")
    settings = replace(SETTINGS, output_prefix=str(tmp_path / "model"))
    for seed, told in ((1, False), (2, True)):
        sets = tiny_set(), tiny_set(seed=seed)
        Trainer(state.model, *sets, settings, NumpyBackend(), "f32", state)._lock.release()
        words = "the test set has changed: 8 images, 8 when the run began, with other pixels"
        assert (words in caplog.text) == told


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_that_is_ignored_stays_ignored(name):
    number = getattr(signal, name)
    before, saved = signal.signal(number, signal.SIG_IGN), []
    try:
        with hold_signals(lambda: saved.append(1)) as held:
            os.kill(os.getpid(), number)
            held.check()
        assert signal.getsignal(number) == signal.SIG_IGN and not saved
    finally:
        signal.signal(number, before)


class LosingSet(TinySet):
    """Cannot be read for the ``at``-th time."""

    def __init__(self, at):
        super().__init__(tiny_set().images_read, [0, 1] * 4, 2)
        self._left = at

    def stored(self, indices):
        return self.images_read[indices]  # looked at once before the training

    def read(self, indices):
        self._left -= 1
        if self._left == 0:
            raise BadDataError("cannot read the image", [])
        return super().read(indices)


@pytest.mark.parametrize("at", [1, 2, 4, 6])
@pytest.mark.parametrize("changes", [KINDS[1], KINDS[2], KINDS[5]])
def test_bad_data_costs_no_step(changes, at, tmp_path):
    """The run goes on from its last step, and ends as if nothing had happened."""
    begin(tmp_path / "straight", epochs=2, **changes).run()
    with pytest.raises(BadDataError, match="cannot read the image"):
        begin(tmp_path / "lost", LosingSet(at), epochs=2, **changes).run()
    state = read_state(tmp_path / "lost/model.state")
    size = state.settings.batch_size * state.settings.batch_size_factor
    batches = -(-8 // state.settings.batch_size)
    epoch, batch = divmod(at - 1, batches)
    done = (epoch, batch // state.settings.batch_size_factor)
    assert (state.position.epoch, state.position.step) == done
    assert state.position.samples == min(8, size * done[1])
    resume(tmp_path / "lost", epochs=2, **changes).run()
    assert results(tmp_path / "lost") == results(tmp_path / "straight")
