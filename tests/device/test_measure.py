"""The measurements of the CUDA backend, tiny, on the device of the tests."""

import pytest
from backend.cuda.devices import device, unavailable
from device.measure import (
    TINY,
    Measure,
    attempt,
    basics,
    convolutions,
    geometric_means,
    seconds_of,
    steps,
)

if reason := unavailable():
    pytest.skip(reason, allow_module_level=True)

MEASURE = Measure(device(), least=0, launches=2)


def test_basics_are_told_of_copies_additions_and_launches():
    found = basics(MEASURE, 1 << 14)
    rates = {"write_gb_per_second", "add_gb_per_second"}
    assert found.keys() == rates | {"launch_us", "replayed_launch_us"}
    assert all(value > 0 for value in found.values())


def test_every_group_is_waited_for():
    made = []
    seconds = seconds_of(lambda: made.append("call"), lambda: made.append("wait"), least=0)
    assert made == [*["call"] * 3, "wait", *["call", "wait"] * 6] and seconds > 0


def test_convolutions_are_timed_in_every_direction_that_training_has():
    rows = [*convolutions(MEASURE, TINY, None)]
    known = [(row["channels"], row["direction"]) for row in rows]
    assert known == [
        *[(8, "forward"), (8, "by data"), (8, "by weights")],
        *[(3, "forward"), (3, "by weights")],
    ]
    flop = 2 * (2 * 8 * 8) * 16 * (8 * 9), 2 * (2 * 4 * 4) * 8 * (3 * 9)
    for row in rows:
        arithmetic = row["tflops"] * 1e12 * row["us"] / 1e6
        assert arithmetic == pytest.approx(flop[row["channels"] == 3])


def test_ratios_are_averaged_by_direction():
    ratios = {"forward": (4, 1), "by data": (3, 3), "by weights": (0.5, 2)}
    rows = [{"direction": name, "ratio": ratio} for name, pair in ratios.items() for ratio in pair]
    assert geometric_means(rows) == pytest.approx({"forward": 2, "by data": 3, "by weights": 1})


def test_steps_are_those_of_model_bench():
    (row,) = steps([("cifar", "train", 8, 2)], "f32", 1, "", {"none": ("--unheard-of",)})
    assert row["denet"]["steps"] == 1 and row["denet"]["batch_size"] == 2
    assert row["denet"]["mode"] == "train" and row["denet"]["backend"] != "cuda"
    assert {"solver", "running averages"} < row["denet"]["ms_by_kind"].keys()
    assert row["none"].startswith("exit code")


def test_what_comes_behind_a_part_that_fails_is_measured_too(capsys):
    done = []
    parts = {"first": lambda: 1 / 0, "second": lambda: done.append("second")}
    assert attempt(parts) == {"first": "ZeroDivisionError: division by zero"}
    assert done == ["second"]
    assert "Traceback" in capsys.readouterr().err
