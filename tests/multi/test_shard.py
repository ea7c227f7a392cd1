"""Trainings whose wide layers are split over the ranks: their files, their memory, what travels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bench.shard import count_step
from multi.ranks import run_ranks, unavailable
from multi.test_equality import assert_equal_trainings, by_ranks
from multi.trained import WIDE, arrays, trainer
from training.tiny import tiny_model

from denet.model.format import load_model

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

PROGRAM = """
from mpi4py import MPI
import numpy as np
from denet.errors import DivergedError, WorkerError
from denet.multi.team import MpiTeam
from multi.trained import trainer
team = MpiTeam(MPI.COMM_WORLD)
"""


def run_program(count, tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + text)
    return run_ranks(count, path)


def test_a_run_goes_on_with_other_numbers_of_ranks(tmp_path):
    straight = arrays(trainer("wide", str(tmp_path / "straight")))
    by_ranks(1, "wide", tmp_path / "run", epochs=1)
    by_ranks(2, "wide", tmp_path / "run", epochs=2, resume=True)
    by_ranks(4, "wide", tmp_path / "run", epochs=4, resume=True, shard_above=250)
    found = by_ranks(1, "wide", tmp_path / "run", resume=True, shard_above=None)
    assert_equal_trainings(found, straight)


def test_the_same_ranks_resume_to_the_bit_and_save_whole_models(tmp_path):
    straight = by_ranks(2, "wide-clipped", tmp_path / "straight")
    by_ranks(2, "wide-clipped", tmp_path / "stopped", epochs=2)
    found = by_ranks(2, "wide-clipped", tmp_path / "stopped", resume=True)
    for name, value in straight.items():
        np.testing.assert_array_equal(found[name], value, name)
    values = load_model(tmp_path / "straight_epoch005_final.mdl").values()
    assert values["5.full.weight"].shape == (30, 8, 3, 3)
    for name, value in values.items():
        np.testing.assert_array_equal(value, straight[name], name)


@pytest.mark.parametrize("frozen", [("5",), ("2", "10")], ids=["split", "others"])
def test_layers_that_are_not_trained(frozen, tmp_path):
    changes = {"skip_layer_updates": frozen, "epochs": 2}
    expected = arrays(trainer("wide", str(tmp_path / "one"), **changes))
    by_ranks(2, "wide", tmp_path / "many", **{**changes, "epochs": 1})
    found = by_ranks(2, "wide", tmp_path / "many", resume=True, **changes)
    assert_equal_trainings(found, expected)


@pytest.mark.parametrize("count", [2, 4])
def test_parts_lie_on_one_rank_and_maps_travel(count, tmp_path):
    """Counted by hand, by ranks that train, and by the table's program, which only trades."""
    counts = """
own = learner.plan.unpack(learner.plan.weights)
found = team.gather((sum(each.size for each in own.values()), Counts(
    learner.plan.weights.nbytes, learner.plan.gradients.nbytes,
    learner.solver.kept["momentum"].nbytes, learner._wire.received - before)))
for held, counts in found * team.leads: print(held, *counts)
"""
    text = f"""
from bench.shard import Counts
run = trainer("wide", {str(tmp_path / "run")!r}, team, shard_above=200)
learner, batch = run._learner, next(run._loader.epoch(0))
before = learner._wire.received
learner.add(batch, batch.counted / batch.total)
learner.update(0.1)
"""
    lines = run_program(count, tmp_path, text + counts).splitlines()
    ranks = [tuple(map(int, line.split())) for line in lines]
    settings = replace(trainer("wide", str(tmp_path / "run")).settings, batch_size=8 // count)
    settings = replace(settings, ranks=count, shard_above=200)
    model = tiny_model(text=WIDE)
    assert [each[1:] for each in ranks] == [count_step(model, settings, r) for r in range(count)]

    everywhere = 8 * 3 * 3 * 3 + 8 + 2 * 7 + 2  # C and R, of 16 parameters
    split = {72: 30, 30: 7}  # outputs by inputs
    others, images = count - 1, 8 // count
    for rank, (held, *_) in enumerate(ranks):
        parts = [range(n * rank // count, n * (rank + 1) // count) for n in split.values()]
        own = [len(part) * (inputs + 1) for part, inputs in zip(parts, split, strict=True)]
        assert held == everywhere + sum(own)
    # gradients and weights of four arrays in places of 16, two faults, and maps there and back
    flat = 224 + 3 * 16
    exchanged = 2 * others * flat + count * others * 2
    maps = sum(2 * images * others * (count * inputs + n) for inputs, n in split.items())
    assert sum(each[-1] for each in ranks) == 4 * (exchanged + maps)


def test_what_diverges_is_told_and_the_pace_is_measured(tmp_path):
    """Neither has the ranks wait for each other for ever."""
    text = f"""
run = trainer("wide", {str(tmp_path / "run")!r}, team)
start = run.model.values()
pace = run.measure(0.01)
assert all((value == start[name]).all() for name, value in run.model.values().items())
try:
    trainer("wide", {str(tmp_path / "fast")!r}, team, learn_rate=1e30).run()
except (DivergedError, WorkerError) as error:
    told = team.gather(str(error))
    if team.leads: print(pace.samples, *told)
"""
    told = run_program(2, tmp_path, text)
    assert told.startswith("43 training diverged: epoch 1/5, iteration")
