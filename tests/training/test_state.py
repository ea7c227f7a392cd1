"""States come back as they were written; damaged ones are refused in one line, or harmless."""

from __future__ import annotations

import copy
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
from training.tiny import tiny_model, tiny_set
from untrusted.damage import damaged, damaged_json, outcome

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset.image.colours import Components
from denet.errors import DataError, DenetError
from denet.training.position import Position
from denet.training.settings import TrainSettings
from denet.training.state import State, dataset_record, read_state, write_state
from denet.training.trainer import Trainer

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
        settings=SETTINGS,
        data=dataset_record(tiny_set()),
        test_data=dataset_record(tiny_set(seed=1)),
        components=Components(rng.random(3), rng.uniform(-1, 1, (3, 3))),
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
    assert again.settings == state.settings
    assert (again.data, again.test_data) == (state.data, state.test_data)
    for value, before in zip(again.components, state.components, strict=True):
        assert (value.tobytes(), value.shape) == (before.tobytes(), before.shape)
    np.testing.assert_equal(again.history, state.history)
    assert list(again.history[0]) == list(state.history[0])  # the columns stay in order
    assert written(again, tmp_path / "b.state") == written(again, tmp_path / "a.state")


@pytest.mark.parametrize(("value", "expected"), [(NAN, NAN), (math.inf, NAN), (-math.inf, NAN)])
def test_what_is_no_number_comes_back_as_nothing(
    value: float, expected: float, tmp_path: Path
) -> None:
    state = example()
    state.best_error = math.inf  # nothing tested yet
    state.history = [{**state.history[0], "cost": value}]
    write_state(state, tmp_path / "a.state")
    again = read_state(tmp_path / "a.state")
    assert again.best_error == math.inf
    state.history[0]["cost"] = expected
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


def attached(good: bytes) -> Any:
    """Return the record that a state holds."""
    header = json.loads(good[8 : 8 + struct.unpack("<Q", good[:8])[0]])
    return json.loads(header["__metadata__"]["denet"])["attached"]


def with_record(good: bytes, record: Any) -> bytes:
    """Return the state with another record, and without the checksum that would tell it."""
    end = 8 + struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8:end])
    document = json.loads(header["__metadata__"]["denet"]) | {"attached": record}
    del document["checksum"]
    text = json.dumps(header | {"__metadata__": {"denet": json.dumps(document)}}).encode()
    return struct.pack("<Q", len(text)) + text + good[end:]


def go_on(folder: Path, content: bytes) -> Any:
    """Return the table of a training that goes on from this state, or the error for people."""
    path = folder / "stranger.state"
    path.write_bytes(content)

    def use() -> list[dict[str, float]]:
        state = read_state(path)
        settings = TrainSettings(**SETTINGS.record(), output_prefix=str(folder / "run" / "m"))
        return Trainer(
            state.model, tiny_set(), tiny_set(seed=1), settings, NumpyBackend(), "f32", state
        ).run()

    return outcome(use)


@given(st.data())
def test_going_on_from_another_record(folder: Path, good: bytes, data: st.DataObject) -> None:
    """The record says anything: the training goes on, or ends with an error for people."""
    go_on(folder, with_record(good, data.draw(damaged_json(attached(good)))))


MISSING = object()
# what no number of a record can be, and what none but those below can be
NEVER = (NAN, math.inf, -math.inf, "x", "\x1b[2J", [], [[1]], {}, 10**30)
SIGNED = {"cost", "cost_box/0", "sample_coverage/0"}  # sums of costs
SIGNED |= {f"components/vectors/{place}" for place in range(9)}
# what a place of a training cannot be beside: the record tells of 8 images in batches of 3, whose
# second epoch is at its second step, the fifth of all
PLACE = {
    "iteration": (0, 4, 6, 5.5, 10**17, None, MISSING),
    "position/epoch": (0, 2, 1.5, 10**17, None, MISSING),
    "position/step": (0, 1, 3, 4, 10**12, 10**17, None, MISSING),
    "position/samples": (0, 5, 7, 8, 10**17, None, MISSING),
    "position/train_seconds": (0, 10**17, None, MISSING),
    "position/wait_seconds": (10**17, None, MISSING),
    "position/cost": (None, MISSING),
    "position/columns/cost_box": ([1], [1, 2, 3], [1, -1], None, 1),
    "best_error": (10**17,),
    "history/0/epoch": (0, 2, 1.5, None, MISSING),
    "history/0/train_seconds": (10**17, None, MISSING),
    "history/0/wait_seconds": (10**17, None, MISSING),
    "history/0/test_seconds": (10**17,),
    "history/0/test_error": (101,),
    "history/0": (1, None, MISSING),
    "history": (1, None, MISSING),
    "settings/epochs": (0, 1),
    "settings/solver": ("adm", "sgd", 1, None, MISSING),
    "settings/batch_size": (0, 4, None, MISSING),
    "settings/learn_momentum": ([], [0.9], [1, 1]),
    "components/values": ([], [0.1], [0.1] * 4, 1, MISSING),
    "components/values/0": (1.01, -0.01),
    "components/vectors": ([1] * 3, [1] * 10, MISSING),
    "components/vectors/8": (1.01, -1.01),
    "components": (1, [], "x"),
    "data/samples": (0, 7, 9, 10**17),
    "data/checksum": (0, 10**17),
    "data/pixels": (0, 10**17),
}


def leaves(value: Any, path: str = "") -> list[str]:
    """Return the paths of all numbers in a JSON value."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, each in items for leaf in leaves(each, f"{path}/{key}".strip("/"))]
    return [path] if isinstance(value, int | float) and not isinstance(value, bool) else []


def changed(record: Any, path: str, value: Any) -> Any:
    """Return a copy with another value at a path, or with none."""
    record = copy.deepcopy(record)
    *above, last = path.split("/")
    holder = record
    for key in above:
        holder = holder[int(key) if isinstance(holder, list) else key]
    place = int(last) if isinstance(holder, list) else last
    holder[place] = value
    if value is MISSING:
        del holder[place]
    return record


def test_every_field_with_what_it_cannot_be(folder: Path, good: bytes) -> None:
    record = attached(good)
    numbers = leaves(record)
    assert len(numbers) > 25
    odd = [(path, value) for path in numbers for value in NEVER]
    odd += [(path, -1) for path in numbers if not path.endswith(tuple(SIGNED))]
    odd += [(path, value) for path, values in PLACE.items() for value in values]
    path = folder / "stranger.state"
    settings = TrainSettings(**SETTINGS.record())
    test_data = dataset_record(tiny_set(seed=1))
    read_state(folder / "good.state").check(settings, tiny_set(), test_data)

    def use() -> None:
        read_state(path).check(settings, tiny_set(), test_data)

    for where, value in odd:
        path.write_bytes(with_record(good, changed(record, where, value)))
        assert isinstance(outcome(use), DenetError), (where, value)


@pytest.mark.parametrize("name", ["", "\x1b[2J", "a\nb", "x" * 1000])
@pytest.mark.parametrize("where", ["history/0", "position/columns"])
def test_columns_have_names(where: str, name: str, folder: Path, good: bytes) -> None:
    record = attached(good)
    value = {name: [1, 2]} if where == "position/columns" else {**record["history"][0], name: 1}
    error = read(folder, with_record(good, changed(record, where, value)))
    assert isinstance(error, DataError) and "is not the name of a column" in str(error)


def test_a_record_that_reads_well_but_was_changed(folder: Path, good: bytes) -> None:
    """A flipped bit makes another number of one: no other check could tell."""
    assert good.count(b"12.5") == 1  # the best error
    error = read(folder, good.replace(b"12.5", b"13.5"))
    assert isinstance(error, DataError) and "is not what was saved" in str(error)


def test_an_epoch_that_took_no_time_is_told(folder: Path, good: bytes) -> None:
    """Its speed would be a division by zero."""
    record = changed(attached(good), "position/train_seconds", 0.0)
    assert "do not fit together" in str(go_on(folder, with_record(good, record)))


def test_averages_are_numbers(tmp_path: Path) -> None:
    state = example()
    next(iter(state.averages.values()))[...] = NAN
    write_state(state, tmp_path / "a.state")
    with pytest.raises(DataError, match="holds nan or inf"):
        read_state(tmp_path / "a.state")
