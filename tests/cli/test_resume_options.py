"""What --resume makes of each option of model-train that is typed anew: none is passed over."""

import hashlib
import logging
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli.commands import run_here
from PIL import Image

from denet.backend.select import BACKENDS
from denet.cli.train import parser
from denet.errors import UsageError

BEGIN = [
    *("--backend", "numpy", "--precision", "f32", "--extension", "png", "--quiet"),
    *("--train", "train", "--test", "test", "--model-desc", "C[4,3]", "A", "P.A", "R"),
    *("--epochs", "1", "--batch-size", "4", "--learn-anneal", "0.5", "--output-prefix", "run/m"),
]
GO_ON = ["--resume", "--output-prefix", "run/m"]

# Options that a run keeps from its beginning: what is typed, exit code, words of the error.
REFUSED = {
    "model": ("x.mdl", 2, "model: x.mdl but the run began with None"),
    "model-desc": ("C[9] R", 2, "--model-desc is C[9] R but the run trains C[4,3] A P.A R"),
    "init-partial": ("", 2, "init-partial: True but the run began with False"),
    "border-mode": ("half", 2, "border-mode: half but the run began with valid"),
    "activation": ("tanh", 2, "activation: tanh but the run began with relu"),
    "weight-init": ("0.01", 2, "weight-init: ['0.01'] but the run began with ['he-backward']"),
    "normalise": ("none", 2, "normalise: none but the run began with auto"),
    "val-split": ("0.3", 2, "val-split: 0.3 but the run began with 0.0"),
    "max-samples": ("5", 2, "max-samples: 5 but the run began with None"),
    "augment-mirror": ("", 2, "augment-mirror: True but the run began with False"),
    "solver": ("sgd", 2, "solver: sgd but the run began with nesterov"),
    "minutes": ("5", 2, "minutes: 5.0 but the run began with --epochs"),
    "average": ("ema", 2, "average: ema but the run began with none"),
    "skip-layer-updates": ("1", 2, "skip-layer-updates: ['1'] but the run began with []"),
    "seed": ("1", 2, "seed: 1 but the run began with 23455"),
    "skip-train": ("", 2, "--skip-train: together with --resume"),
    "dry-run": ("", 2, "--dry-run: it tries a new training: leave --resume out"),
    "overwrite": ("", 2, "--resume: together with --overwrite"),
}
# Options that change what comes: what is typed, and which change is told.
TOLD = {
    "train": ("same", "train: same instead of train"),
    "extension": ("image", "extension: image instead of png"),
    "test": ("same", "the test set has changed: 8 images, 8 when the run began, with other pixels"),
    "test-extension": ("image", "test-extension: image instead of None"),
    "distort-mode": ("m50", "distort-mode: ['m50'] instead of []"),
    "epochs": ("2", "epochs: 2 instead of 1"),
    "batch-size": ("2 --batch-size-factor 2", "batch-size: 2 instead of 4"),
    "batch-size-factor": ("2 --batch-size 2", "batch-size-factor: 2 instead of 1"),
    "learn-rate": ("0.2", "learn-rate: 0.2 instead of 0.1"),
    "learn-momentum": ("0 0.5", "learn-momentum: [0.0, 0.5] instead of [0.0, 0.0]"),
    "learn-anneal": ("0.9", "learn-anneal: 0.9 instead of 0.5"),
    "learn-anneal-epochs": ("3", "learn-anneal-epochs: [3] instead of []"),
    "learn-cosine": (" --learn-anneal 1", "learn-cosine: True instead of False"),
    "learn-warmup": ("0.5", "learn-warmup: 0.5 instead of 0.0"),
    "learn-decay": ("0.1", "learn-decay: 0.1 instead of 0.0"),
    "learn-decay-all": ("", "learn-decay-all: True instead of False"),
    "layer-rates": ("C=2", "layer-rates: ['C=2'] instead of []"),
    "layer-decays": ("C=2", "layer-decays: ['C=2'] instead of []"),
    "layer-momenta": ("C=0", "layer-momenta: ['C=0'] instead of []"),
    "gradient-clip": ("1", "gradient-clip: 1.0 instead of 0.0"),
    "label-smoothing": ("0.1", "label-smoothing: 0.1 instead of 0.0"),
    "cost-factors": ("2", "cost-factors: [2.0] instead of []"),
    "backend": ("onednn", "backend: onednn instead of numpy"),
    "precision": ("bf16", "precision: bf16 instead of f32"),
}
# Options that no result depends on (or the data would be others, which is refused): they are used.
USED = {
    "thread-num": "2",
    "on-bad-data": "skip",
    "max-image-pixels": "100",
    "test-epochs": "2",
    "output-prefix": "run/m",
    "model-format": "mdl.gz",
    "disable-intermediate": "",
    "model-save-dt": "1",
    "log-every": "1",
    "tensorboard": "",
    "recompute": "cheap",
    "memory-limit": "4GB",
    "resume": "",
    "log-kernels": "",
    "log-level": "debug",
    "quiet": "",
    "debug": "",
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run of one epoch, its data, and a second data set: same."""
    directory = tmp_path_factory.mktemp("begun")
    for number, split in enumerate(("train", "test")):
        for name in ("cat", "dog"):
            (directory / split / name).mkdir(parents=True)
            for index in range(4):
                pixels = np.random.default_rng([number, index]).integers(
                    0, 256, (6, 6, 3), np.uint8
                )
                Image.fromarray(pixels).save(directory / split / name / f"{index}.png")
    shutil.copytree(directory / "train", directory / "same")
    before = os.getcwd()
    os.chdir(directory)
    try:
        assert run(*BEGIN) == 0
    finally:
        os.chdir(before)
    return directory


@pytest.fixture
def directory(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a copy of what was begun."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    return run_here("model-train", *words)


def tree(directory: Path) -> dict[str, str]:
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def typed(name: str, words: str) -> list[str]:
    return [*GO_ON, f"--{name}", *words.split()]


def test_every_option_has_its_row() -> None:
    rows = [*REFUSED, *TOLD, *USED]
    assert sorted(rows) == sorted(option.name for option in parser().options)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, code, message = REFUSED[name]
    before = tree(directory)
    assert run(*typed(name, words)) == code
    assert message in capsys.readouterr().err
    assert tree(directory) == before


@pytest.mark.parametrize("name", TOLD)
def test_told(name: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "backend":
        try:
            BACKENDS["onednn"]()
        except UsageError as error:
            pytest.skip(f"needs a second backend: {error}")
    words, message = TOLD[name]
    before = yaml.safe_load((directory / "run/m_run.yaml").read_text())
    further = [] if name == "epochs" else ["--epochs", "2"]
    assert run(*typed(name, words), *further) == 0
    assert f"warning: resume: {message}" in capsys.readouterr().err
    now = yaml.safe_load((directory / "run/m_run.yaml").read_text())
    assert now[name] != before[name]
    kept = set(now) - {name, "epochs"} - {word.removeprefix("--") for word in words.split()}
    assert {key: now[key] for key in kept} == {key: before[key] for key in kept}


def test_a_finished_run_keeps_its_record(directory: Path) -> None:
    """Nothing was trained with what is typed now."""
    before = (directory / "run/m_run.yaml").read_bytes()
    assert run(*typed("learn-rate", "0.2")) == 0
    assert (directory / "run/m_run.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "began, other",
    [("recompute cheap", "memory-limit 4GB"), ("memory-limit 4GB", "recompute half")],
)
def test_what_is_typed_of_two_rivals_wins(began: str, other: str, directory: Path) -> None:
    assert run(*BEGIN, "--overwrite", *f"--{began}".split()) == 0
    assert run(*GO_ON, "--epochs", "2", *f"--{other}".split()) == 0
    now = yaml.safe_load((directory / "run/m_run.yaml").read_text())
    assert now[began.split()[0]] is None and now[other.split()[0]]


@pytest.mark.parametrize("name", USED)
def test_used(name: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "tensorboard":
        pytest.importorskip("tensorboardX")
    assert run(*typed(name, USED[name])) == 0
    assert "warning: resume: " not in capsys.readouterr().err


def test_the_same_again_is_no_change(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script may say --resume always."""
    for begin in ([], ["--config", "run/m_run.yaml"]):
        assert run(*(begin or BEGIN), *GO_ON) == 0
        assert "resume: " not in capsys.readouterr().err.replace("resume: after", "")


def test_options_that_no_record_tells(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code, message in (
        ([], 0, "the record of the options is lost: those typed are taken for them"),
        (["--border-mode", "half"], 2, "--border-mode or --activation is not that of the run"),
        (["--model-desc", "R"], 2, "--model-desc is R but the run trains C[4,3] A P.A R"),
    ):
        (directory / "run/m_run.yaml").unlink(missing_ok=True)
        assert run(*BEGIN, *GO_ON, *words) == code
        assert message in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_the_data_are_read(
    number: signal.Signals, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signal comes with the line that tells of the training set."""

    class Interrupt(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            signal.raise_signal(number)
            return True

    reader, interrupt = logging.getLogger("denet.dataset.classes.directory"), Interrupt()
    before = signal.getsignal(signal.SIGTERM)
    reader.addFilter(interrupt)
    try:
        assert run(*GO_ON, "--no-quiet") == 128 + number
    finally:
        reader.removeFilter(interrupt)
        signal.signal(signal.SIGTERM, before)
    state = directory / "run" / "m.state"
    assert f"--resume goes on from {state}\nerror: interrupted" in capsys.readouterr().err


def test_a_run_from_a_model_names_no_network(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", "run/m_best.mdl", "--output-prefix", "run/n"]
    sets = ["--backend", "numpy", "--train", "train", "--extension", "png", "--epochs", "1"]
    resume = ["--resume", "--output-prefix", "run/n"]
    assert run(*sets, *model) == 0
    for words, code in (([], 0), (model, 0), (["--model-desc", "R"], 2)):
        assert run(*resume, *words) == code
        assert yaml.safe_load((directory / "run/n_run.yaml").read_text())["model-desc"] is None
    assert "model-desc: R but the run began with None" in capsys.readouterr().err
