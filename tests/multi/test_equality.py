"""Several ranks train as one process does whose batches are those of all ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from multi.ranks import run_ranks, unavailable
from multi.trained import CASES, arrays, trainer
from PIL import Image

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

PROGRAM = Path(__file__).with_name("trained.py")


def by_ranks(count, case, prefix, **changes):
    """Return what so many ranks found."""
    words = [f"{name}={value!r}" for name, value in changes.items()]
    run_ranks(count, PROGRAM, case, prefix, *words)
    with np.load(f"{prefix}.npz") as found:
        return {name.replace("|", "/"): found[name] for name in found.files}


@pytest.fixture
def photos(tmp_path):
    """Write seven images of noise with one or two objects, or none."""
    objects = [object_xml(box=(1, 1, 12, 8)), object_xml("dog", (9, 3, 20, 10))]
    shown = [objects, objects[:1], [], objects[1:], objects, objects[:1], objects]
    write_voc(tmp_path / "voc", {f"{n}": voc_xml(*each) for n, each in enumerate(shown)})
    for number in range(len(shown)):
        pixels = np.random.default_rng(number).integers(0, 256, (10, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"voc/JPEGImages/{number}.jpg")
    return str(tmp_path / "voc")


def assert_equal_trainings(found, expected, limit=1e-5):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=limit, atol=limit, err_msg=name)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("case", [case for case in CASES if case != "detector"])
def test_ranks_train_as_one_process(count, case, tmp_path):
    """The last batches are short: of 43 images 3 are left, which is none for one of 4 ranks."""
    expected = arrays(trainer(case, str(tmp_path / "one")))
    found = by_ranks(count, case, tmp_path / "many")
    assert_equal_trainings(found, expected)


def test_three_ranks_have_unequal_parts(tmp_path):
    expected = arrays(trainer("nesterov", str(tmp_path / "one"), batch_size=9))
    assert_equal_trainings(by_ranks(3, "nesterov", tmp_path / "many", batch_size=9), expected)


@pytest.mark.parametrize(("count", "batch_size"), [(2, 8), (3, 6), (4, 8)])
def test_ranks_detect_as_one_process(count, batch_size, photos, tmp_path):
    changes = {"data": photos, "batch_size": batch_size}
    expected = arrays(trainer("detector", str(tmp_path / "one"), **changes))
    found = by_ranks(count, "detector", tmp_path / "many", **changes)
    assert_equal_trainings(found, expected)


def test_bf16_in_the_network_and_on_the_wire(tmp_path):
    """Rounded to 8 bits, with a ReLU that turns over now and then: a few per cent of the way."""
    one = trainer("nesterov", str(tmp_path / "one"), precision="bf16")
    start = one.model.values()
    expected = arrays(one)
    kept = by_ranks(2, "nesterov", tmp_path / "kept", precision="bf16")
    rounded = by_ranks(2, "nesterov", tmp_path / "rounded", precision="bf16", wire="bf16")
    for name, before in start.items():
        for found in (kept, rounded):
            error = np.linalg.norm(found[name] - expected[name])
            assert error < 0.1 * np.linalg.norm(expected[name] - before), name
    assert any((rounded[name] != kept[name]).any() for name in start)


def test_same_ranks_give_the_same_bits(tmp_path):
    found = [by_ranks(3, "clipped", tmp_path / f"{n}", batch_size=12) for n in range(2)]
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value, name)


def test_one_rank_is_a_training_alone_to_the_bit(tmp_path):
    expected = arrays(trainer("clipped", str(tmp_path / "one")))
    for name, value in by_ranks(1, "clipped", tmp_path / "rank").items():
        np.testing.assert_array_equal(value, expected[name], name)


def test_ranks_resume_to_the_bit_and_other_numbers_of_them_nearly(tmp_path):
    straight = by_ranks(2, "nesterov", tmp_path / "straight")
    for count in (2, 4, 1):
        by_ranks(2, "nesterov", tmp_path / f"{count}", epochs=3)
        found = by_ranks(count, "nesterov", tmp_path / f"{count}", resume=True)
        if count == 2:
            for name, value in straight.items():
                np.testing.assert_array_equal(found[name], value, name)
        else:
            assert_equal_trainings(found, straight)


def test_what_a_rank_keeps_falls_with_their_number(tmp_path):
    """Each keeps the averages of its part alone: the parts cover everything once."""
    program = tmp_path / "kept.py"
    program.write_text(
        "from mpi4py import MPI\n"
        "from denet.multi.team import MpiTeam\n"
        "from multi.trained import trainer\n"
        "team = MpiTeam(MPI.COMM_WORLD)\n"
        f"run = trainer('adamw', {str(tmp_path / 'run')!r}, team)\n"
        "solver, size = run._learner.solver, run._learner.plan.weights.size\n"
        "kept = [len(each) for each in solver.kept.values()]\n"
        "if team.leads: print(size)\n"
        "for sizes in team.gather(kept) if team.leads else [team.gather(kept)] and []:\n"
        "    print(*sizes)\n"
    )
    size, *ranks = (tuple(map(int, line.split())) for line in run_ranks(4, program).splitlines())
    assert len(ranks) == 4
    for mean, square in ranks:
        assert mean == square <= size[0] // 4 + 64
    assert sum(mean for mean, _ in ranks) == size[0]
