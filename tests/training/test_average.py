"""The moving average of the weights, against one in double precision of those of each step."""

from dataclasses import replace

import numpy as np
import pytest
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy import memory as memory_module
from denet.backend.numpy.backend import NumpyBackend
from denet.backend.numpy.memory import HostMemory
from denet.errors import UsageError
from denet.model.format import load_model
from denet.training.average import newest_share
from denet.training.settings import TrainSettings
from denet.training.solver import make_solver
from denet.training.state import read_state
from denet.training.trainer import Trainer

TEXT = "CM[5,0.5] C.B[12,3] BN A D[0.2] P.A R"
SETTINGS = TrainSettings(
    epochs=4, batch_size=2, learn_rate=0.1, learn_momentum=(0.9, 0.99), learn_decay=0.01
)


def trainer(directory, **changes):
    settings = replace(SETTINGS, output_prefix=str(directory / "m"), **changes)
    sets = tiny_set(), tiny_set(seed=1)
    return Trainer(tiny_model(text=TEXT), *sets, settings, NumpyBackend())


def moving_average(steps):
    """Return {path: average} of the weights of the steps: TensorFlow's rule, written anew."""
    average = {path: value.astype(np.float64) for path, value in steps[0].items()}
    for update, values in enumerate(steps[1:]):
        decay = min(0.9998, (1 + update) / (10 + update))
        for path, value in values.items():
            average[path] = decay * average[path] + (1 - decay) * value.astype(np.float64)
    return average


def test_share_by_hand():
    assert [newest_share(step) for step in (0, 1, 2, 9)] == [1, 0.9, 9 / 11, 0.5]
    assert newest_share(44_991) == pytest.approx(2e-4)  # 9 / 45,000
    assert newest_share(10**9) == 2e-4


@pytest.mark.parametrize(
    "changes", [{}, {"solver": "adam"}, {"batch_size_factor": 2}, {"learn_momentum": (0.0,)}]
)
def test_models_hold_the_average_of_all_steps(changes, tmp_path, monkeypatch):
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            "denet.training.trainer.write_state",
            lambda state, path: steps.append(state.model.values()),
        )
        trainer(tmp_path / "last", model_save_dt=1e-9, **changes).run()
    run = trainer(tmp_path, average="ema", **changes)
    run.run()
    each = len(steps) // SETTINGS.epochs
    assert each == 4 // changes.get("batch_size_factor", 1)
    for epoch in range(1, SETTINGS.epochs + 1):
        expected = moving_average(steps[: epoch * each])
        found = load_model(tmp_path / f"m_epoch{epoch:03d}.mdl").values()
        for path, value in expected.items():
            np.testing.assert_allclose(found[path], value, rtol=1e-5, atol=1e-6)
    final = load_model(tmp_path / f"m_epoch{SETTINGS.epochs:03d}_final.mdl").values()
    state = read_state(tmp_path / "m.state")
    for path, last in steps[-1].items():
        np.testing.assert_array_equal(state.model.values()[path], last)  # training saw no average
        np.testing.assert_array_equal(run.model.values()[path], final[path])
    lag = max(np.abs(final[path] - last).max() for path, last in steps[-1].items())
    assert lag > 0.01


def test_the_average_is_what_is_tested(tmp_path):
    rows = trainer(tmp_path, average="ema").run()
    final = load_model(tmp_path / f"m_epoch{SETTINGS.epochs:03d}_final.mdl")
    settings = replace(SETTINGS, epochs=1, learn_rate=1e-12, output_prefix=str(tmp_path / "again"))
    again = Trainer(final, tiny_set(), tiny_set(seed=1), settings, NumpyBackend())
    again._tester.load(final.values())
    assert again._tester.result().error == rows[-1]["test_error"]


def test_frozen_layers_stay_to_the_bit(tmp_path):
    run = trainer(tmp_path, average="ema", skip_layer_updates=("2", "batchnorm"))
    before = {path: value.copy() for path, value in run.model.values().items()}
    run.run()
    moved = {
        path.split(".")[0]
        for path, value in run.model.values().items()
        if not np.array_equal(value, before[path])
    }
    assert moved == {"7"}


def test_threads_do_not_change_a_bit(monkeypatch):
    monkeypatch.setattr(memory_module, "CHUNK", 7)
    rng = np.random.default_rng(7)
    start, gradients = rng.standard_normal(45), rng.standard_normal((6, 45)).astype(np.float32)
    averages = []
    for threads in (1, 2, 5):
        solver = make_solver("nesterov", 45, 20, [0.9], 0.1, HostMemory(threads), average=True)
        weights = start.astype(np.float32)
        for gradient in gradients:
            solver.update(weights, gradient, 0.1)
        averages.append(solver.kept["average"].tobytes())
    assert len(set(averages)) == 1


@pytest.mark.parametrize("began, now", [("none", "ema"), ("ema", "none")])
def test_another_average_is_refused_on_resume(began, now, tmp_path):
    trainer(tmp_path, average=began).run()
    state = read_state(tmp_path / "m.state")
    settings = replace(SETTINGS, output_prefix=str(tmp_path / "m"), average=now)
    message = f"resume: average: {now} but the run began with {began}"
    with pytest.raises(UsageError, match=message):
        Trainer(state.model, tiny_set(), tiny_set(seed=1), settings, NumpyBackend(), state=state)


def test_an_unknown_average_is_told():
    with pytest.raises(UsageError, match="average: 'swa': use one of none, ema"):
        replace(SETTINGS, average="swa")
