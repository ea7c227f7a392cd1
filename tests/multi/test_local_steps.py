"""Ranks that make steps alone and are brought together behind every few of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from multi.ranks import run_ranks, unavailable
from multi.test_equality import assert_equal_trainings, by_ranks
from multi.trained import arrays, trainer
from training.tiny import tiny_model, tiny_set

from denet.dataset.loader import Loader, Share
from denet.training.settings import TrainSettings

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

HERE = Path(__file__).parent
LINEAR = "P.A R"


@pytest.mark.parametrize(
    ("count", "changes"), [(3, {}), (4, {"batch_size_factor": 2, "average": "ema"})]
)
def test_rounds_of_one_step_are_steps_together(count, changes, tmp_path):
    """Gradients, momentum and averages are linear: their means are those of the whole batch.

    Of the last 3 of 43 images one of 4 ranks has none, in the last batch of the last step.
    """
    changes = {"batch_size": 24 if changes else 12, **changes}
    expected = arrays(trainer("nesterov", str(tmp_path / "one"), **changes))
    found = by_ranks(count, "nesterov", tmp_path / "many", local_steps=1, **changes)
    assert_equal_trainings(found, expected)


def linear_rounds(count, settings):
    """Train softmax regression of the mean colour in float64 by so many ranks; return (k, c).

    Each makes steps v = mu v - lr (g + decay w), w += v.
    """
    model = tiny_model(text=LINEAR)
    (start,) = (value.reshape(2, 3).astype(np.float64) for value in model.values().values())
    velocity, outer = np.zeros((2, 2, 3))
    loaders = [
        Loader(
            *(tiny_set(size=43), settings.batch_size, model.preprocessing),
            seed=settings.seed,
            training=True,
            share=Share(rank, count),
        )
        for rank in range(count)
    ]
    for epoch in range(settings.epochs):
        batches = [list(loader.epoch(epoch)) for loader in loaders]
        for first in range(0, len(batches[0]), settings.local_steps):
            found = []
            for own in batches:
                w, v, seen = start, velocity, 0
                for batch in own[first : first + settings.local_steps]:
                    if batch.counted:
                        x = np.asarray(batch.data, np.float64).mean((1, 2))
                        p = np.exp(x @ w.T)
                        p /= p.sum(1, keepdims=True)
                        p[range(len(p)), batch.targets["class_index"]] -= 1
                        g = p.T @ x / len(p) + settings.learn_decay * w
                        v = settings.learn_momentum[0] * v - settings.learn_rate * g
                        w = w + v
                        seen += batch.counted
                found.append((w, v, seen))
            total = sum(seen for _, _, seen in found)
            velocity = sum(seen / total * v for _, v, seen in found)
            change = sum(seen / total * (start - w) for w, _, seen in found)
            outer = settings.outer_momentum * outer + change
            ahead = change + settings.outer_momentum * outer
            step = ahead if settings.outer_solver == "nesterov" else outer
            start = start - settings.outer_rate * step
    return start


@pytest.mark.parametrize(
    ("count", "steps", "solver", "mu", "rate"),
    [
        (2, 2, "momentum", 0.0, 1.0),
        (2, 2, "momentum", 0.8, 1.0),
        (3, 4, "nesterov", 0.9, 0.7),
        (4, 100, "momentum", 0.5, 0.5),
    ],
)
def test_rounds_are_those_of_a_hand_worked_regression(count, steps, solver, mu, rate, tmp_path):
    """Steps of up to 8 images, of which the last has 3; rounds end with the epoch if not before."""
    changes = {
        "solver": "momentum",
        "learn_momentum": (0.6,),
        "learn_decay": 0.02,
        "learn_rate": 0.2,
        "epochs": 3,
        "batch_size": 8 // count * count,
        "local_steps": steps,
        "outer_solver": solver,
        "outer_momentum": mu,
        "outer_rate": rate,
    }
    found = by_ranks(count, "nesterov", tmp_path / "run", text=LINEAR, **changes)
    settings = TrainSettings(**changes | {"batch_size": 8 // count}, ranks=count)
    expected = linear_rounds(count, settings)
    for name, start in tiny_model(text=LINEAR).values().items():
        assert np.abs(expected.reshape(start.shape) - start).max() > 0.01
        np.testing.assert_allclose(found[name], expected.reshape(start.shape), rtol=1e-4, atol=1e-6)


def test_running_statistics_are_means_and_those_of_skipped_layers_stay(tmp_path):
    """Those of the pixels, by the images of each rank, do not depend on any weight."""
    changes = {"text": "BN P.A BN R", "batch_size": 9, "skip_layer_updates": ("3",)}
    start = trainer("nesterov", str(tmp_path / "one"), **changes).model.values()
    expected = arrays(trainer("nesterov", str(tmp_path / "one"), **changes, overwrite=True))
    found = by_ranks(3, "nesterov", tmp_path / "many", local_steps=1, **changes)
    mean = next(name for name in start if name.startswith("1.") and name.endswith("mean"))
    assert np.abs(expected[mean] - start[mean]).max() > 0.01
    np.testing.assert_allclose(found[mean], expected[mean], rtol=1e-5, atol=1e-6)
    frozen = [name for name in start if name.startswith("3.")]
    assert len(frozen) == 4
    for name in frozen:
        np.testing.assert_array_equal(found[name], start[name])


ROUNDS = {
    "local_steps": 4,
    "outer_momentum": 0.9,
    "outer_solver": "nesterov",
    "outer_rate": 0.7,
    "average": "ema",
    "epochs": 2,
}


def test_a_stop_waits_for_the_end_of_a_round_and_goes_on_to_the_bit(tmp_path):
    """Of 5 steps an epoch, in rounds of 4 and 1."""
    changes = {**ROUNDS, "batch_size": 9, "solver": "adamw", "learn_momentum": (0.9, 0.99)}
    straight = by_ranks(3, "nesterov", tmp_path / "straight", **changes)
    assert any(name.startswith("outer_momentum/") for name in straight)
    words = [f"{name}={value!r}" for name, value in changes.items()]
    for step, saved in ((1, "0 4"), (3, "0 5")):
        prefix = tmp_path / f"stopped{step}"
        told = run_ranks(3, HERE / "disturbed.py", "stopped", step, prefix, *words)
        assert told.strip() == saved
        found = by_ranks(3, "nesterov", prefix, resume=True, **changes)
        assert found.keys() == straight.keys()
        for name, value in straight.items():
            np.testing.assert_array_equal(found[name], value, name)


def test_all_ranks_end_a_round_with_the_same_bits(tmp_path):
    program = tmp_path / "bits.py"
    program.write_text(
        "from hashlib import sha256\n"
        "from mpi4py import MPI\n"
        "from denet.multi.team import MpiTeam\n"
        "from multi.trained import trainer\n"
        "team = MpiTeam(MPI.COMM_WORLD)\n"
        f"changes = {ROUNDS | {'text': 'C[8,3] BN A P.A R', 'batch_size': 9, 'epochs': 1}}\n"
        f"run = trainer('nesterov', {str(tmp_path / 'run')!r}, team, **changes)\n"
        "learner, update = run._learner, run._learner.update\n"
        "def watched(*arguments):\n"
        "    finite = update(*arguments)\n"
        "    values = learner.plan.values() | learner.averages()\n"
        "    bits = sha256(b''.join(value.tobytes() for value in values.values())).hexdigest()\n"
        "    kinds = len(set(team.gather(bits)))\n"
        "    if team.leads: print(learner.is_whole, kinds)\n"
        "    return finite\n"
        "learner.update = watched\n"
        "run.run()\n"
    )
    alone, whole = "False 3", "True 1"
    expected = [alone, alone, alone, whole, whole]
    assert run_ranks(3, program).splitlines() == expected


@pytest.mark.parametrize("steps", [1, 4])
def test_what_diverges_within_a_round_is_told_at_its_end(steps, tmp_path):
    """By the rank that it has happened to: where it was; the others end without words."""
    words = ["spoilt", 5, tmp_path / "run", f"local_steps={steps}"]
    first, second = sorted(run_ranks(2, HERE / "disturbed.py", *words).splitlines())
    assert first.strip() == "0: WorkerError"
    place = "1: DivergedError training diverged: epoch 1/5, iteration 6/6, learn rate 0.05, costs:"
    assert second.startswith(place)
