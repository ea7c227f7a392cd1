"""model-train --minutes: beside --epochs, in files of options, in a trial and when resumed."""

import re
from pathlib import Path

import pytest
import yaml
from cli.test_resume_options import BEGIN, GO_ON, begun, directory, run

from denet.cli.train import parser
from denet.errors import UsageError

__all__ = ["begun", "directory"]

# what a file of options says, what is typed, and the epochs and minutes that hold
HOLD = [
    ("", "", (30, None)),
    ("", "--minutes 10", (None, 10.0)),
    ("epochs: 5\nminutes: null", "", (5, None)),
    ("epochs: null\nminutes: 2.5", "", (None, 2.5)),
    ("epochs: 5", "--minutes 10", (None, 10.0)),
    ("minutes: 10", "--epochs 5", (5, None)),
    ("minutes: 10", "--minutes 20", (None, 20.0)),
    ("epochs: 5\nminutes: 10", "--epochs 6", (6, None)),
]


@pytest.mark.parametrize("text, words, expected", HOLD)
def test_what_is_typed_holds(
    text: str, words: str, expected: tuple[object, object], tmp_path: Path
) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(text)
    values = parser().parse(["--config", str(config), *words.split()])
    assert (values.epochs, values.minutes) == expected


@pytest.mark.parametrize(
    "text, words", [("", "--epochs 5 --minutes 10"), ("epochs: 5\nminutes: 10", "")]
)
def test_both_are_refused(text: str, words: str, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(text)
    with pytest.raises(UsageError, match="--minutes: together with --epochs: choose one"):
        parser().parse(["--config", str(config), *words.split()])


@pytest.mark.parametrize("word", ["0", "-1", "nan", "soon"])
def test_no_time_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="minutes: must be a number above 0"):
        parser().parse(["--minutes", word])


def test_a_run_of_a_time(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it settles on is kept; --epochs make it longer; other minutes are refused."""
    words = [word for word in BEGIN if word != "--quiet"]
    place = words.index("--epochs")
    words[place : place + 2] = ["--minutes", "0.0001", "--disable-intermediate"]  # one epoch

    def options() -> tuple[object, object]:
        found = yaml.safe_load((directory / "run/m_run.yaml").read_text())
        return found["epochs"], found["minutes"]

    assert run(*words, "--dry-run") == 0
    assert re.search(r"\n1 epoch takes about .* images/s, ", capsys.readouterr().err)
    assert run(*words, "--overwrite") == 0
    errors = capsys.readouterr().err
    assert "1 epoch takes about" in errors and "too short for a single epoch" in errors
    assert options() == (None, 0.0001)
    for more in ([], ["--minutes", "0.0001"]):
        assert run(*GO_ON, *more) == 0
        assert "the run has finished after 1 epoch" in capsys.readouterr().err
    assert run(*GO_ON, "--minutes", "5") == 2
    told = capsys.readouterr().err
    assert "minutes: 5.0 but the run began with 0.0001: leave it out, or make the run lo" in told
    assert told.endswith("longer with --resume --epochs N\n")
    assert run(*GO_ON, "--epochs", "2") == 0
    assert "epochs: 2 instead of 1 from here on" in capsys.readouterr().err
    assert options() == (2, None)
    assert (directory / "run/m_epoch002_final.mdl").exists()
