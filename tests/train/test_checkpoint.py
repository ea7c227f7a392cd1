"""Files of a run: names, the check before training, writing whole or not at all."""

import os
from pathlib import Path

import pytest

from denet.errors import DataError, UsageError
from denet.train.checkpoint import RunFiles, write_text

NAMES = [
    # prefix, suffix, epoch 7, final 30
    ("run/model", ".mdl", "run/model_epoch007.mdl", "run/model_epoch030_final.mdl"),
    ("run/", ".mdl", "run/model_epoch007.mdl", "run/model_epoch030_final.mdl"),
    ("./a.b", ".mdl.gz", "a.b_epoch007.mdl.gz", "a.b_epoch030_final.mdl.gz"),
]


@pytest.mark.parametrize("prefix, suffix, epoch, final", NAMES)
def test_names(prefix, suffix, epoch, final, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = RunFiles(prefix, suffix)
    assert files.epoch(7) == tmp_path / epoch
    assert files.final(30) == tmp_path / final
    assert files.best.name.endswith("_best" + suffix)
    assert files.metrics == files.directory / "metrics.csv"


def test_unknown_suffix_is_told():
    with pytest.raises(UsageError, match="suffix"):
        RunFiles("model", ".h5")


def test_directory_is_made(tmp_path):
    RunFiles(tmp_path / "a" / "b" / "model").prepare()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["m_epoch001.mdl", "m_epoch012_final.mdl.gz", "m_epoch001.test", "metrics.csv", "m.state"],
)
def test_an_earlier_run_is_not_overwritten_unasked(name, tmp_path):
    files = RunFiles(tmp_path / "m")
    (tmp_path / name).write_text("old")
    with pytest.raises(UsageError, match=f"{name}.*--overwrite"):
        files.check_new()
    files.check_new(overwrite=True)
    assert (tmp_path / name).exists()  # a check removes nothing
    files.clear()
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    "name", ["m.mdl", "mm_epoch001.mdl", "m_epoch001.mdl.bak", "m_epoch.mdl", ".n.state.0f.tmp"]
)
def test_files_of_others_stay(name, tmp_path):
    (tmp_path / name).write_text("mine")
    files = RunFiles(tmp_path / "m")
    files.check_new()
    files.clear()
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", [".m.state.0f1e2d3c.tmp", ".m_epoch001.mdl.0f1e2d3c.tmp"])
def test_what_a_killed_process_was_writing_goes(name, tmp_path):
    (tmp_path / name).write_text("half")
    (tmp_path / "m.state").write_text("whole")
    RunFiles(tmp_path / "m").clear_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["m.state"]


def test_temporary_files_vanish_with_the_directories_made_for_them(tmp_path):
    files = RunFiles(tmp_path / "a" / "b" / "m")
    with files.temporary() as prefix:
        assert prefix.name == "m"
        (prefix.parent / "m.state").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_models_without_a_state_cannot_be_resumed(tmp_path):
    (tmp_path / "m_epoch001.mdl").write_text("")
    with pytest.raises(UsageError, match="no m.state beside .*m_epoch001.mdl"):
        RunFiles(tmp_path / "m").read_state()
    assert RunFiles(tmp_path / "other").read_state() is None


def test_unwritable_output_is_told_with_path_and_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=f"{tmp_path}/file.*(not a directory|Not a directory)"
    ) as caught:
        RunFiles(tmp_path / "file" / "model").prepare()
    assert caught.value.exit_code == 3


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    path: Path = tmp_path / "a.test"
    write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError, match="a.test: File too large"):
            write_text(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.test"]


def test_two_processes_do_not_write_one_run(tmp_path):
    pytest.importorskip("fcntl")
    files = RunFiles(tmp_path / "m")
    first = files.lock()
    with pytest.raises(DataError, match="another process trains in"):
        RunFiles(tmp_path / "m").lock()
    first.release()
    RunFiles(tmp_path / "m").lock().release()
    assert list(tmp_path.iterdir()) == []


def test_another_run_in_the_directory_is_not_overwritten(tmp_path):
    (tmp_path / "a.state").write_text("")
    with pytest.raises(UsageError, match="already holds a run .a.state."):
        RunFiles(tmp_path / "b").check_new()
    with pytest.raises(UsageError, match=f"give --output-prefix {tmp_path}/a$"):
        RunFiles(tmp_path / "b").read_state()
