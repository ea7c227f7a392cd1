"""A disk that is too small for a training is told before the first step."""

import logging
import shutil
from pathlib import Path

import pytest
from training.tiny import tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import DataError
from denet.training.settings import TrainSettings
from denet.training.trainer import Trainer

TEXT = "C[256,3] A C[256,3] A P.A R"  # the arrays of its files are much larger than their headers
ADAM = {"solver": "adam", "learn_momentum": (0.9, 0.99)}


def trainer(prefix: Path, **changes: object) -> Trainer:
    options = {"epochs": 2, "batch_size": 4, "learn_rate": 1e-3, **ADAM, **changes}
    settings = TrainSettings(str(prefix), **options)
    return Trainer(tiny_model(text=TEXT), tiny_set(), tiny_set(seed=1), settings, NumpyBackend())


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Return the sizes of the files that a real training leaves."""
    directory = tmp_path_factory.mktemp("real")
    trainer(directory / "m").run()
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def let_free(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (10**12, 10**12 - int(free), int(free)))


def test_no_room_for_a_state_is_an_error(
    tmp_path: Path, sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_free(monkeypatch, 0.99 * sizes["m.state"])
    with pytest.raises(DataError, match="takes 7 MB, 7 MB are free on the disk of .*--output-pre"):
        trainer(tmp_path / "m").run()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("few", [False, True])
def test_less_room_than_all_files_take_is_told(
    tmp_path: Path,
    sizes: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    few: bool,
) -> None:
    """State and best model are there twice while the second one is written."""
    names = ["m_epoch002_final.mdl", "m_best.mdl", "m_best.mdl", "m.state", "m.state"]
    names += [] if few else ["m_epoch001.mdl", "m_epoch002.mdl"]
    taken = sum(sizes[name] for name in names)
    let_free(monkeypatch, 1.01 * taken)
    trainer(tmp_path / "enough", disable_intermediate=few).run()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    let_free(monkeypatch, 0.98 * taken)
    trainer(tmp_path / "less", disable_intermediate=few).run()
    assert "are free on the disk of" in caplog.text
    assert ("--disable-intermediate" in caplog.text) == (not few)


@pytest.mark.parametrize("answer", [(0, 0, 0), OSError(38, "Function not implemented")])
def test_a_disk_that_tells_nothing_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    def usage(path: object) -> object:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(shutil, "disk_usage", usage)
    trainer(tmp_path / "m").run()
    assert (tmp_path / "m.state").exists()
