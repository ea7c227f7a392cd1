"""States come back as they were written; damaged ones are refused in one line, or harmless."""

from __future__ import annotations

import json
import math
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train.tiny import tiny_model, tiny_set
from untrusted.damage import damaged, damaged_json, outcome

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DataError
from denet.train.settings import TrainSettings
from denet.train.state import Position, State, dataset_record, read_state, write_state
from denet.train.trainer import Trainer

SETTINGS = TrainSettings(epochs=2, batch_size=3, solver="adam", learn_momentum=(0.9, 0.99))
NAN = float("nan")
SUMS = {"cost_box": (0.1 + 0.2, 6.0), "sample_coverage": (1e-300, 3.0)}


def example() -> State:
    """Return a state in the second epoch of a training with ``SETTINGS``."""
    model = tiny_model()
    rng = np.random.default_rng(0)
    averages = {
        f"{average}/{path}": rng.random(value.shape, np.float32)
        for path, value in model.values().items()
        for average in ("mean", "square")
    }
    times = {"train_seconds": 1e-300, "wait_seconds": 0.0, "test_seconds": NAN}
    history = [{"epoch": 1, "cost": 0.7351234567890123, "test_error": NAN, **times}]
    return State(
        model,
        averages,
        iteration=5,
        position=Position(1, 2, 1.0000000000000002, 6, 0.125, 1e-9, 0.5, SUMS),
        best_error=12.5,
        history=history,
        settings=SETTINGS.record(),
        data=dataset_record(tiny_set()),
    )


def written(state: State, path: Path) -> bytes:
    write_state(state, path)
    return path.read_bytes()


def test_every_field_comes_back(tmp_path: Path) -> None:
    state = example()
    write_state(state, tmp_path / "a.state")
    again = read_state(tmp_path / "a.state")
    for name, value in state.model.values().items():
        np.testing.assert_array_equal(again.model.values()[name], value)
    assert again.model.text() == state.model.text()
    assert again.averages.keys() == state.averages.keys()
    for name, value in state.averages.items():
        np.testing.assert_array_equal(again.averages[name], value)
    assert again.position == state.position
    assert (again.iteration, again.best_error) == (5, 12.5)
    assert (again.settings, again.data) == (state.settings, state.data)
    np.testing.assert_equal(again.history, state.history)
    assert written(again, tmp_path / "b.state") == written(again, tmp_path / "a.state")


@pytest.mark.parametrize(("value", "expected"), [(NAN, NAN), (math.inf, NAN), (-math.inf, NAN)])
def test_what_is_no_number_comes_back_as_nothing(
    value: float, expected: float, tmp_path: Path
) -> None:
    state = example()
    state.best_error = math.inf  # nothing tested yet
    state.history = [*state.history, {**state.history[0], "epoch": 2, "cost": value}]
    write_state(state, tmp_path / "a.state")
    again = read_state(tmp_path / "a.state")
    assert again.best_error == math.inf
    state.history[1]["cost"] = expected
    np.testing.assert_equal(again.history, state.history)
    assert "NaN" not in repr((tmp_path / "a.state").read_bytes())  # JSON of all readers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def good(folder: Path) -> bytes:
    return written(example(), folder / "good.state")


def read(folder: Path, content: bytes) -> Any:
    """Read a file as a state; if it is one, write it again."""
    path = folder / "stranger.state"
    path.write_bytes(content)

    def use() -> State:
        state = read_state(path)
        write_state(state, folder / "again.state")
        return state

    return outcome(use, "state")


FOREIGN = [b"", b"{}", b"x" * 100, bytes(100), pickle.dumps({"a": 1}), b"PK\3\4", b"\x1f\x8b\x08"]


@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_no_state(content: bytes, folder: Path) -> None:
    assert isinstance(read(folder, content), DataError)


@given(st.binary(max_size=100))
def test_noise(folder: Path, content: bytes) -> None:
    content = struct.pack("<Q", len(content)) + b"{" + content
    assert isinstance(read(folder, content), DataError)


def test_a_state_that_was_cut_short(folder: Path, good: bytes) -> None:
    for length in range(len(good)):
        assert isinstance(read(folder, good[:length]), DataError), length


@given(st.data())
def test_a_damaged_state(folder: Path, good: bytes, data: st.DataObject) -> None:
    read(folder, data.draw(damaged(good)))


@given(st.data())
def test_a_state_with_a_damaged_header(folder: Path, good: bytes, data: st.DataObject) -> None:
    end = 8 + struct.unpack("<Q", good[:8])[0]
    header = data.draw(damaged(good[8:end]))
    read(folder, struct.pack("<Q", len(header)) + header + good[end:])


@given(st.data())
def test_going_on_from_another_record(folder: Path, good: bytes, data: st.DataObject) -> None:
    """The record says anything: the training goes on, or ends with an error for people."""
    end = 8 + struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8:end])
    document = json.loads(header["__metadata__"]["denet"])
    document["attached"] = data.draw(damaged_json(document["attached"]))
    text = json.dumps(header | {"__metadata__": {"denet": json.dumps(document)}}).encode()
    path = folder / "stranger.state"
    path.write_bytes(struct.pack("<Q", len(text)) + text + good[end:])

    def use() -> list[dict[str, float]]:
        state = read_state(path)
        settings = TrainSettings(**SETTINGS.record(), output_prefix=str(folder / "run" / "m"))
        return Trainer(
            state.model, tiny_set(), tiny_set(seed=1), settings, NumpyBackend(), "f32", state
        ).run()

    outcome(use)
