"""Files of a run: names, the check before training, writing whole or not at all."""

import os
from pathlib import Path

import pytest

from denet.errors import DataError, UsageError
from denet.training.checkpoint import RunFiles, write_record, write_text

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
    assert files.metrics == files.prefix.with_name(f"{files.prefix.name}_metrics.csv")


def test_unknown_suffix_is_told():
    with pytest.raises(UsageError, match="suffix"):
        RunFiles("model", ".h5")


def test_directory_is_made(tmp_path):
    RunFiles(tmp_path / "a" / "b" / "model").prepare()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *("m_epoch001.mdl", "m_epoch012_final.mdl.gz", "m_epoch001.test", "m_best.mdl", "m.state"),
        *("m_metrics.csv", "m_curves.png", "m_tensorboard/events.out.tfevents.17"),
        # a person's, as their first lines tell
        *("m_run.yaml", "m_log.txt", "m_bad_data.txt", "m_diverged.txt"),
    ],
)
def test_what_has_a_name_of_the_run_is_not_overwritten_unasked(name, tmp_path):
    files = RunFiles(tmp_path / "m")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("old")
    with pytest.raises(UsageError, match=f"{name}.*--overwrite"):
        files.check_new()
    files.check_new(overwrite=True)
    assert (tmp_path / name).exists()  # a check removes nothing
    files.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m_run.yaml", "m_log.txt", "m_bad_data.txt", "m_diverged.txt"])
def test_what_a_start_leaves_that_saved_nothing_needs_no_question(name, tmp_path):
    files = RunFiles(tmp_path / "m")
    write_record(tmp_path / name, "x")
    files.check_new()
    assert files.read_state() is None
    files.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m_run.yaml", "m_log.txt", "m_bad_data.txt", "m_diverged.txt"])
def test_a_run_goes_on_with_records_of_its_own_only(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"not of a run: {tmp_path}/{name}: move it"):
        RunFiles(tmp_path / "m").read_state()


KINDS = [
    ("pipe", os.mkfifo),
    ("directory", os.mkdir),
    ("device", lambda path: os.symlink("/dev/null", path)),
    ("link to nothing", lambda path: os.symlink("nothing", path)),
]


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of POSIX")
@pytest.mark.parametrize("make", [make for _, make in KINDS], ids=[kind for kind, _ in KINDS])
@pytest.mark.parametrize("name", ["m.state", "m_metrics.csv", "m_log.txt", "m_best.mdl", ".m.lock"])
def test_what_is_no_file_is_told_and_stays(name, make, tmp_path):
    """Also with --overwrite: it is more than the files of a run."""
    make(tmp_path / name)
    files = RunFiles(tmp_path / "m")
    for act in [lambda: files.check_new(overwrite=True), files.read_state, files.clear]:
        with pytest.raises(DataError, match=f"{tmp_path}/{name}"):
            if name == ".m.lock":
                files.lock()
            act()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_place_of_the_lock_stays(tmp_path):
    pytest.importorskip("fcntl")
    (tmp_path / ".m.lock").write_text("mine")
    with pytest.raises(DataError, match="not the lock of a run"):
        RunFiles(tmp_path / "m").lock()
    assert (tmp_path / ".m.lock").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        *("m.mdl", "mm_epoch001.mdl", "m_epoch001.mdl.bak", "m_epoch.mdl", "m_notes_log.txt"),
        *(".n.state.0f1e2d3c.tmp", ".m.state.0f.tmp", ".m_notes.0f1e2d3c.tmp", ".tmpAbCdEf"),
        *("run.yaml", "log.txt", "metrics.csv", "bad_data.txt", "diverged.txt", "n_log.txt"),
    ],
)
def test_files_of_others_stay(name, tmp_path):
    (tmp_path / name).write_text("mine")
    files = RunFiles(tmp_path / "m")
    files.check_new()
    files.clear()
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "name", [".m.state.0f1e2d3c.tmp", ".m_epoch001.mdl.0f1e2d3c.tmp", ".m_dry-run.a_1e2d3c.tmp"]
)
def test_what_a_killed_process_was_writing_goes(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / ".tmpAbCdEf").write_text("half")
    (tmp_path / "m.state").write_text("whole")
    RunFiles(tmp_path / "m").clear_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["m.state"]


def test_temporary_files_vanish_with_the_directories_made_for_them(tmp_path):
    files = RunFiles(tmp_path / "a" / "b" / "m")
    with files.temporary() as prefix:
        assert prefix.name == "m"
        (prefix.parent / "m.state").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_dry_run_left_goes_with_the_next(tmp_path):
    files = RunFiles(tmp_path / "m")
    left = files.temporary()
    (left.__enter__().parent / "m.state").write_text("")
    (tmp_path / ".m.lock").unlink()  # the system lets go of the locks of a process
    with files.temporary():
        assert len(list(tmp_path.glob(".m_dry-run.*"))) == 1
    assert list(tmp_path.iterdir()) == []
    left.__exit__(None, None, None)


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
    with pytest.raises(DataError, match=f"another process trains {tmp_path}/m: wait"):
        RunFiles(tmp_path / "m").lock()
    first.release()
    RunFiles(tmp_path / "m").lock().release()
    assert list(tmp_path.iterdir()) == []


def names(files):
    """Return every path that a run may write."""
    directories = [files.events, files.lock()._path]
    own = [files.epoch(1), files.final(1), files.test(1), files.best, files.state, files.metrics]
    own += [files.curves, files.options, files.log, files.bad_data, files.diverged]
    return {path.name for path in own + directories}


def test_runs_share_a_directory_but_no_file(tmp_path):
    """Whatever their prefixes are, also if one begins with the other or looks like its files."""
    prefixes = ["a", "b", "a_epoch001", "a_best", "a_metrics", "a_dry-run", "a_", ".a", "a.state"]
    every = {prefix: names(RunFiles(tmp_path / prefix)) for prefix in prefixes}
    assert sum(map(len, every.values())) == len(set.union(*every.values()))
    for prefix, own in every.items():
        (tmp_path / prefix).mkdir()
        for name in set.union(*every.values()) - own:
            (tmp_path / prefix / name).write_text("another run's")
        files = RunFiles(tmp_path / prefix / prefix)
        files.check_new()
        files.clear()
        assert len(list((tmp_path / prefix).iterdir())) == sum(map(len, every.values())) - len(own)


PREFIXES = [
    ("", "it is empty"),
    (".", "'.' is a directory: .* such as ./model$"),
    ("..", "'..' is a directory: .* such as ../model$"),
    ("run/..", "is a directory: .* such as run/../model$"),
    ("/", "'/' is a directory"),
    ("//", "'//' is a directory"),
    ("run", "'run' is a directory: .* such as run/model$"),
    ("run/.", "is a directory: .* such as run/./model$"),
    ("/dev/null", "'/dev/null' is a device"),
]


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
@pytest.mark.parametrize("prefix, words", PREFIXES)
def test_a_prefix_that_names_no_files(prefix, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("run")
    with pytest.raises(UsageError, match=words):
        RunFiles(prefix)


def test_a_directory_of_the_name_of_a_run_may_hold_what_was_made_of_it(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        RunFiles(tmp_path / "m")
    (tmp_path / "m.state").touch()
    assert RunFiles(tmp_path / "m").existing() == [tmp_path / "m.state"]


@pytest.mark.parametrize("prefix", ["run/", "./", "new/", "../"])
def test_a_directory_with_its_slash_holds_a_run_called_model(prefix, tmp_path, monkeypatch):
    (tmp_path / "here" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert RunFiles(prefix).state == tmp_path / "here" / prefix / "model.state"


def test_a_directory_that_cannot_be_listed_is_not_written_to(tmp_path, monkeypatch):
    """A run that cannot be seen must not be replaced."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("denet.training.checkpoint.os.listdir", refuse)
    with pytest.raises(DataError, match="output: cannot write: .*: Permission denied"):
        RunFiles(tmp_path / "m").check_new()
