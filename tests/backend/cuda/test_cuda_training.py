"""Whole trainings on the device: those of NumPy, step by step, and the same bits once more."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from backend.cuda.devices import SCHEDULES, device, unavailable
from training.test_resume import SignallingSet
from training.tiny import tiny_model, tiny_set

from denet.backend.cuda.backend import CudaBackend
from denet.backend.numpy.backend import NumpyBackend
from denet.dataset.loader import Batch
from denet.detect.box import BOX_CAPACITY
from denet.graph.plan import Plan
from denet.graph.recompute import Saving
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.training.learner import Learner
from denet.training.settings import TrainSettings
from denet.training.state import read_state
from denet.training.trainer import Trainer

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

STEPS, BATCH = 3, 3
STEM = "C.B[8,3,2] BN A nRSN.O[1,12,3,2]"
NETWORKS = {
    "residual": (32, f"{STEM} RSN.O[12,3] P.A R"),
    "of everything": (
        32,
        "CM[28,0.5] C[12,5,2] A LRN[3,2,0.1,0.75] P[3,2,1] C.B[12,3,1,3] BN A SPLIT DL[5] DL[5] TR "
        "D[0.3] DC.B[8,4,2] A SKIPSRC C.B[8,3] BNA SKIP PI[2] P.A[3,2] C[6] A P.A D[0.2] R",
    ),
    "detector": (48, f"{STEM} DNC[10] DNS[3,6] C[12] A DND[0.5,1,1,0.5]"),
    "detector of clusters": (
        64,
        f"{STEM} DNC.C[9,2,0.3] DNS[5,7,0.02,0.3,1,0.6,1] C[12] A DND.JB[0.4,1,2]",
    ),
    "detector that is distinct in prediction": (
        32,
        f"{STEM} DNC.C[9] DNS.P[3,5,0.02,0.5,2,0.7] C[12] A DND.JB[0.4,1,2]",
    ),
}
SETTINGS = {
    "residual": {"learn_momentum": (0.9, 0.0), "gradient_clip": 2.0},
    "of everything": {"solver": "adamw", "learn_momentum": (0.9, 0.99), "average": "ema"},
    "detector": {"solver": "adam", "learn_momentum": (0.9, 0.99), "batch_size_factor": 2},
}
RATES = {"adam": 0.002, "adamw": 0.002}
# Everything that was computed before goes into each step, so that limits are those of sums
# (tolerance.py) grown by layers and steps; Adam, which divides by the root of squares near 0, makes
# the most of what they differ. In bf16 each map is rounded to 8 bits, and the decisions of ReLUs,
# maxima and the search for corners with it: costs come near, but that of boxes, of which there are
# few, depends on which are found.
LIMIT = 2e-3
COST_LIMITS = {"f32": 1e-3, "bf16": 0.05}

each_network = pytest.mark.parametrize("name", NETWORKS)
each_precision = pytest.mark.parametrize("precision", ["f32", "bf16"])


def cuda(schedule=SCHEDULES[0]):
    return CudaBackend(device(schedule))


def model_of(name):
    """Return a network whose corners, where it has them, are uncertain enough to be found."""
    size, text = NETWORKS[name]
    model = Model.create(
        text, (3, size, size), ["a", "b", "c"], LayerOptions(border_mode="half"), 1
    )
    rng = np.random.default_rng(5)
    changed = {
        path: rng.normal(1.5 if path.endswith("bias") else 0, 0.7, value.shape).astype(np.float32)
        for path, value in model.values().items()
        if "denet-corner.corner." in path
    }
    model.set_values(model.values() | changed)
    return model


def batch_of(name, step):
    """Return a batch of noise with classes, or with up to three objects an image."""
    rng = np.random.default_rng(step)
    size = NETWORKS[name][0]
    data = rng.standard_normal((BATCH, size, size, 3)).astype(np.float32)
    keys = rng.integers(0, 1 << 64, BATCH, np.uint64, endpoint=False)
    if not name.startswith("detector"):
        targets = {"class_index": rng.integers(0, 3, BATCH, dtype=np.int32)}
        return Batch(data, targets, keys, np.arange(BATCH), BATCH, BATCH)
    low, high = np.sort(rng.uniform(0, 1, (2, BATCH, BOX_CAPACITY, 2)).astype(np.float32), axis=0)
    known = np.arange(BOX_CAPACITY) < rng.integers(0, 4, (BATCH, 1))
    classes = np.where(known, rng.integers(0, 3, known.shape), -1).astype(np.int32)
    boxes = np.concatenate([low, high], axis=-1) * known[..., None]
    return Batch(data, {"box": boxes, "box_class": classes}, keys, np.arange(BATCH), BATCH, BATCH)


class Training:
    """A learner, and what it found in each step."""

    def __init__(self, name, backend, precision="f32"):
        settings = SETTINGS.get(name, {"solver": "sgd", "learn_momentum": (0.9, 0.0)})
        settings = TrainSettings(batch_size=BATCH, learn_decay=1e-3, **settings)
        self.rate = RATES.get(settings.solver, 0.02)
        self.parts = settings.batch_size_factor
        self.name, self.found = name, []
        self.learner = Learner(
            model_of(name), BATCH, settings, backend, precision, Saving("segments")
        )

    def steps(self, first, end):
        for step in range(first, end):
            for part in range(self.parts):
                batch = batch_of(self.name, step * self.parts + part)
                measured = self.learner.add(batch, 1 / self.parts)()
                self.found.append({**measured.costs, **measured.columns})
            assert self.learner.update(self.rate)()
        return self

    def values(self):
        """Return weights, running averages and what the solver keeps."""
        return self.learner.plan.values() | self.learner.averages()


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], name)


def error(actual, expected):
    """Return the norm of the difference as a part of that of what was expected."""
    return np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-6)


def wrong(found, expected, limit):
    """Return what differs by more than a limit, and by how much."""
    errors = {name: error(found[name], value) for name, value in expected.items()}
    return {name: value for name, value in errors.items() if not value < limit}


def prediction(name, values, backend, precision="f32"):
    plan = Plan(model_of(name).graph(BATCH), backend, "predict", precision)
    plan.load(values)
    results = plan.run({"data": batch_of(name, 99).data}, None)
    return {path: np.copy(array) for path, array in results.items()}, plan


def assert_on_device(plan):
    slow = {node: kernel for node, kernel in plan.kernel_names().items() if "cuda" not in kernel}
    assert not slow


@each_network
def test_training_in_f32_equals_that_of_numpy(name):
    ours, numpys = (Training(name, each).steps(0, STEPS) for each in (cuda(), NumpyBackend()))
    assert_on_device(ours.learner.plan)
    for found, expected in zip(ours.found, numpys.found, strict=True):
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=COST_LIMITS["f32"], err_msg=key)
    assert not wrong(ours.values(), numpys.values(), LIMIT)
    values = numpys.learner.plan.values()
    results, plan = prediction(name, values, cuda())
    assert_on_device(plan)
    expected, _ = prediction(name, values, NumpyBackend())
    assert "sample_count" not in expected or expected["sample_count"].all()
    for path, array in expected.items():
        np.testing.assert_allclose(results[path], array, rtol=1e-4, atol=1e-4, err_msg=path)


@each_network
def test_training_in_bf16_costs_about_what_numpy_has_in_f32(name):
    ours = Training(name, cuda(), "bf16").steps(0, STEPS)
    assert_on_device(ours.learner.plan)
    exact = Training(name, NumpyBackend()).steps(0, STEPS)
    for found, expected in zip(ours.found, exact.found, strict=True):
        for path in (path for path in expected if path[0].isdigit() and not path.endswith(".box")):
            np.testing.assert_allclose(found[path], expected[path], COST_LIMITS["bf16"], 0, path)


@pytest.mark.slow
@each_precision
@each_network
def test_every_order_of_threads_trains_to_the_same_bits(name, precision):
    """A second training in one of the orders is among them, and one that goes on in the middle."""
    once = Training(name, cuda(), precision).steps(0, STEPS)
    assert_on_device(once.learner.plan)
    for schedule in SCHEDULES:
        again = Training(name, cuda(schedule), precision).steps(0, STEPS)
        assert again.found == once.found
        assert_same_bits(again.values(), once.values())
    begun = Training(name, cuda(), precision).steps(0, 2)
    taken = Training(name, cuda(SCHEDULES[1]), precision)
    taken.learner.plan.load(begun.learner.plan.values())
    taken.learner.resume(begun.learner.averages(), 2)
    assert_same_bits(taken.steps(2, STEPS).values(), once.values())
    results = [
        prediction(name, once.learner.plan.values(), cuda(schedule), precision)[0]
        for schedule in SCHEDULES
    ]
    for other in results[1:]:
        assert_same_bits(other, results[0])


def trained(directory, backend, train_set=None, resume=False):
    """Train in a directory, from its state where that is told; return the last model's values."""
    settings = TrainSettings(
        output_prefix=str(directory / "model"),
        **{"epochs": 2, "batch_size": 3, "learn_rate": 0.01, "solver": "adam", "average": "ema"},
        **{"learn_momentum": (0.9, 0.99), "learn_decay": 0.01, "distort_mode": ("o1", "m50")},
    )
    state = read_state(directory / "model.state") if resume else None
    model = state.model if state else tiny_model(text="CM[5,0.5] C.B[12,3] BN A D[0.2] P.A R")
    sets = train_set or tiny_set(), tiny_set(seed=1)
    try:
        Trainer(model, *sets, settings, backend, "f32", state).run()
    except KeyboardInterrupt:
        assert train_set
    state = read_state(directory / "model.state")
    return state.model.values() | state.averages


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("at", [2, 5])
def test_a_state_goes_on_to_the_same_bits_and_on_another_backend(tmp_path, at):
    """Stopped within the first epoch and the second."""
    backends = {"cuda": cuda(), "numpy": NumpyBackend()}
    straight = {name: trained(tmp_path / name, each) for name, each in backends.items()}
    assert not wrong(straight["cuda"], straight["numpy"], LIMIT)
    for before, first in backends.items():
        for behind, second in backends.items():
            directory = tmp_path / f"{before}, then {behind}"
            stopped = trained(directory, first, SignallingSet(signal.SIGINT, at))
            assert wrong(stopped, straight[before], LIMIT)  # it has not come to the end
            found = trained(directory, second, resume=True)
            if before == behind:
                assert_same_bits(found, straight[before])
            else:
                assert not wrong(found, straight[before], LIMIT)
