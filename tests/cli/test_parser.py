"""What the parser takes and refuses, without starting processes."""

import argparse
from pathlib import Path

import pytest
from cli.commands import example_parser

from denet.cli.command import explain, run
from denet.errors import (
    DataError,
    DescriptionError,
    DivergedError,
    OutOfMemoryError,
    UsageError,
    WorkerError,
)

# words, attribute, value
TAKEN = [
    (["--epoch", "3"], "epochs", 3),
    (["--learn-rate=1e-2"], "learn_rate", 0.01),
    (["--model-desc", "C[8,3]", "BN", "R"], "model_desc", "C[8,3] BN R"),
    (["--model-desc", "C[8,3] BN R"], "model_desc", "C[8,3] BN R"),
    (["--stages", "2", "3", "--mirror"], "stages", [2, 3]),
    (["--mirror", "--no-mirror"], "mirror", False),
    ([], "weight_init", ["he-backward"]),
]


@pytest.mark.parametrize(("words", "key", "value"), TAKEN)
def test_taken(words: list[str], key: str, value: object) -> None:
    assert getattr(example_parser().parse(words), key) == value


# words, error
REFUSED = [
    (["--epocs", "3"], "unknown option '--epocs' (did you mean '--epochs'?)"),
    (["--xyzzy"], "unknown option '--xyzzy': see --help"),
    (["--test-mode", "x"], "unknown option '--test-mode': it never had an effect: leave it out"),
    (["-e", "3"], "unknown option '-e': see --help"),
    (["stray"], "unexpected word 'stray': see --help"),
    (["--epochs", "0"], "--epochs: must be a whole number from 1 to 100; got '0'"),
    (["--epochs"], "--epochs: expected one argument"),
    (["--learn-rate", "x"], "--learn-rate: must be a number at least 0 and at most 10; got 'x'"),
    (["--log-level", "verbos"], "--log-level: must be one of debug, verbose, info, warning, error; "
     "got 'verbos' (did you mean 'verbose'?)"),
    (["--l", "3"], "ambiguous option: --l could match --learn-rate, --limit, --log-level"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        example_parser().parse(words)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["2", "3"], [2, 3]),
        (["2", "--mirror", "3"], [2, 3]),
        (["--stages", "2", "3"], [2, 3]),
        ([], []),
    ],
)
def test_words_behind_no_option(words: list[str], taken: list[int]) -> None:
    built = example_parser(words="stages")
    assert built.parse(words).stages == taken


def test_words_do_not_hide_a_wrong_option() -> None:
    with pytest.raises(UsageError, match=r"unknown option '--mirrr' \(did you mean '--mirror'\?\)"):
        example_parser(words="stages").parse(["2", "--mirrr", "3"])
    with pytest.raises(UsageError, match=r"--stages: must be a whole number .* got 'x'"):
        example_parser(words="stages").parse(["2", "x"])


def test_require_names_what_is_missing() -> None:
    built = example_parser()
    with pytest.raises(UsageError, match="--limit is missing"):
        built.require(built.parse([]), "epochs", "limit")
    built.require(built.parse(["--limit", "1"]), "epochs", "limit")


# error, exit code, words of the message (design: section 5)
ENDINGS = [
    (UsageError("--epochs: bad"), 2, "--epochs: bad"),
    (DescriptionError("layer 1"), 2, "layer 1"),
    (DataError("no images"), 3, "no images"),
    (DivergedError("cost is nan"), 4, "cost is nan"),
    (OutOfMemoryError("too big"), 5, "too big"),
    (MemoryError(), 5, "--batch-size"),
    (WorkerError("died"), 6, "died"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (ModuleNotFoundError("x", name="yaml"), 2, "yaml is not installed"),
    (PermissionError(13, "Permission denied", "/x/y"), 3, "Permission denied: /x/y"),
    (OSError(28, "No space left on device"), 3, "No space left on device: standard output"),
    (KeyError("k"), 1, "internal: KeyError: 'k': run again with --debug"),
]


@pytest.mark.parametrize(("error", "code", "words"), ENDINGS)
def test_every_ending_has_its_code(error: BaseException, code: int, words: str, capsys) -> None:
    def command(values: argparse.Namespace) -> int:
        raise error

    assert explain(error)[1] == code
    assert run(example_parser(), command, []) == code
    shown = capsys.readouterr()
    assert shown.out == "" and words in shown.err
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1


def test_debug_shows_the_traceback(capsys) -> None:
    def command(values: argparse.Namespace) -> int:
        raise KeyError("k")

    assert run(example_parser(), command, ["--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_result_is_the_exit_code(tmp_path: Path) -> None:
    assert run(example_parser(), lambda values: values.epochs, ["--epochs", "3"]) == 3
