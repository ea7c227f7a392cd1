"""A signal while the data is read: --resume starts that training, with all of its options."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from cli.test_resume_options import BEGIN, GO_ON, begun, directory, run, tree

from denet.training.checkpoint import RunFiles

__all__ = ["begun", "directory"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
FINAL = "_epoch001_final.mdl"
NEW = [*BEGIN, "--no-quiet", "--output-prefix", "new/m"]
AGAIN = ["--resume", "--output-prefix", "new/m"]


@contextmanager
def signal_between_sets(number: int) -> Iterator[None]:
    """Send it when the training set has been read, before the test set is."""

    class Sender(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("train: "):
                signal.raise_signal(number)

    reader, sender = logging.getLogger("denet.dataset.classes.directory"), Sender()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    reader.addHandler(sender)
    try:
        yield
    finally:
        reader.removeHandler(sender)
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_resume_starts_it(number: int, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with signal_between_sets(number):
        assert run(*NEW) == 128 + number
    assert "interrupted before any step: --resume starts with" in capsys.readouterr().err
    assert [path.name for path in (directory / "new").iterdir()] == ["m_run.yaml"]
    with signal_between_sets(number):  # and once more
        assert run(*AGAIN) == 128 + number
    assert run(*AGAIN) == 0
    assert "nothing to resume at" in capsys.readouterr().err
    new, straight = directory / f"new/m{FINAL}", directory / f"run/m{FINAL}"
    assert new.read_bytes() == straight.read_bytes()


def test_its_record_names_one_network(directory: Path) -> None:
    words = ["--train", "train", "--ext", "png", "--backend", "numpy", "--epochs", "1"]
    model = ["--model", f"run/m{FINAL}", "--init-partial", "--output-prefix", "new/m"]
    with signal_between_sets(signal.SIGTERM):
        assert run(*words, *model) == 143
    record = yaml.safe_load((directory / "new/m_run.yaml").read_text())
    assert record["model"] == f"run/m{FINAL}" and record["model-desc"] is None
    assert run(*AGAIN) == 0


def test_a_run_that_was_to_be_overwritten_stays(directory: Path) -> None:
    before = tree(directory)
    with signal_between_sets(signal.SIGTERM):
        assert run(*BEGIN, "--no-quiet", "--overwrite", "--learn-rate", "0.3") == 143
    assert tree(directory) == before
    assert run(*GO_ON) == 0


def test_a_run_of_another_process_stays(directory: Path) -> None:
    files = RunFiles("new/m")
    files.prepare()
    lock = files.lock()
    with signal_between_sets(signal.SIGTERM):
        assert run(*NEW) == 143
    lock.release()
    assert not list((directory / "new").iterdir())
