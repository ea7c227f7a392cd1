"""Tables of faults: what goes wrong, how the command ends, and that nothing is harmed by it."""

import fnmatch
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli.shell import outcome, shell, told, tree, wait_until_it_waits
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux",
        reason="needs resource limits, /dev/full and signals as Linux has them",
    ),
]

DEEP = "C[8] C[8] C[8] C[8] R"  # nothing in it keeps numbers small
SETS = "--backend numpy --train train --test test --ext png --batch-size 2"
NEW = f"model-train {SETS} --model-desc {DEEP} --learn-momentum 0.9 --learn-rate 0.01"
GO_ON = "model-train --resume --output-prefix run/m"
Stop = Callable[["subprocess.Popen[str]", Path], None]

RECORD = "run/m_log.txt run/m_run.yaml"  # tell of the last attempt, too
# the test and the files of a last epoch are repeated, and tell the new options
EPOCH = "run/m.state run/m_epoch001.mdl run/m_best.mdl run/m_metrics.csv run/m_curves.png"
EPOCHS = 20  # of a run that is stopped: more than it can log before it waits for a reader
BREAK = "echo x > train/cat/0.png"
MINE = "other/m_ ... is there already: give --resume"
SHOW = "; code=$?; cat other/m_bad_data.txt >&2; exit $code"

# The directory holds train, test, and a run of one epoch of DEEP: run/m. Of each row: what is done
# first; the command; its exit code; words on stderr in their order; what may differ afterwards.
FAULTS = [
    # files that cannot be written
    ("", f"ulimit -f 1; {GO_ON} --epochs 3", 3, "write: ... m_run.yaml: File too large", ""),
    ("", f"ulimit -f 2; {GO_ON} --epochs 3", 3, "write: ... m.state: ... File too large", RECORD),
    (
        "",
        f"ulimit -f 20; {GO_ON} --epochs 3",
        0,
        "warning: no m_curves.png: cannot write: ... m_curves.png: File too large",
        f"{RECORD} {EPOCH} run/m_epoch*",
    ),
    ("", f"{NEW} --output-prefix train/cat/0.png/m", 3, "0.png: not a directory: give another", ""),
    ("", f"{NEW} --output-prefix /dev/null/none/m", 3, "/dev/null: not a directory", ""),
    # numbers
    (
        "",
        f"{GO_ON} --epochs 3 --learn-rate 1e9",
        4,
        "diverged: epoch 2/3, iteration ... learn rate 1e+09, costs: ... first not finite: "
        "... of layer ... batch of 2 images (train/ ... .png, ... run/m_diverged.txt): lower "
        "--learn-rate",
        f"{RECORD} {EPOCH} run/m_diverged.txt",
    ),
    # data
    (
        f"{BREAK}; truncate -s 90 train/dog/3.png",
        f"{NEW} --output-prefix other/m {SHOW}",
        3,
        "cannot read 2 of 16 images: train/cat/0.png (not an image), ... leave them out with "
        "--on-bad-data skip; all of them are listed in ... other/m_bad_data.txt "
        "... train/cat/0.png\tnot an image\n ... train/dog/3.png\t",
        "other other/m_bad_data.txt",
    ),
    (
        f"{BREAK}; truncate -s 90 test/dog/3.png",
        f"{NEW} --epochs 1 --on-bad-data skip --output-prefix other/m {SHOW}",
        0,
        "train: 15 images ... train: 1 of 16 images left out: train/cat/0.png (not an image) "
        "... test: 1 of 16 images left out ... train/cat/0.png\tnot an image\n ... test/dog/3.png",
        "other other/*",
    ),
    (
        "",
        f"{NEW} --max-image-pixels 63 --output-prefix other/m",
        3,
        "train/cat/0.png ... --max-image-pixels",
        "other other/m_bad_data.txt",
    ),
    (
        "mv test/dog test/dogs",
        f"{NEW} --output-prefix other/m",
        3,
        "class 'dogs' is not one of the 2 classes of the training set: test: only here: dogs; "
        "only in the training set: dog: rename it (did you mean 'dog'?)",
        "",
    ),
    (
        f"{BREAK}; mkdir other; echo mine > other/m_bad_data.txt",
        f"{NEW} --dry-run --output-prefix other/m",
        3,
        "no m_bad_data.txt: ... and not of a run ... error: cannot read the image: train/cat/0.png",
        "",
    ),
    (
        f"{BREAK}; {NEW} --output-prefix other/m 2> /dev/null; rm train/cat/0.png; true",
        f"{NEW} --epochs 1 --output-prefix other/m",  # what was listed is no run
        0,
        "train: 15 images",
        "other/*",
    ),
    # names that somebody else has taken, or that name no files
    ("mkdir other; echo mine > other/m_run.yaml", f"{NEW} --output-prefix other/m", 2, MINE, ""),
    ("mkdir other; echo mine > other/m_log.txt", f"{NEW} --output-prefix other/m", 2, MINE, ""),
    ("echo mine > run/m_log.txt", GO_ON, 2, "not of a run: ... run/m_log.txt: move it away", ""),
    ("rm run/m_log.txt; mkfifo run/m_log.txt", GO_ON, 3, "not a file: ... run/m_log.txt", ""),
    ("rm run/m_run.yaml; mkfifo run/m_run.yaml", GO_ON, 2, "m_run.yaml: a device or pipe", ""),
    ("mkfifo run/.m.lock", GO_ON, 3, "not the lock of a run: ... run/.m.lock", ""),
    ("mkdir other; mkfifo other/m_log.txt", f"{NEW} --output-prefix other/m", 3, "not a fi", ""),
    ("", f"{NEW} --output-prefix .", 2, "'.' is a directory: ... such as ./model", ""),
    ("", f"{NEW} --output-prefix run", 2, "'run' is a directory: ... such as run/model", ""),
    ("", f"{NEW} --output-prefix /dev/null", 2, "'/dev/null' is a device", ""),
    # states that are none
    ("echo x > run/m.state", GO_ON, 3, "m.state", ""),
    (": > run/m.state", GO_ON, 3, "m.state: it is empty", ""),
    ("truncate -s -9 run/m.state", GO_ON, 3, "m.state: cut short, ... take another copy", ""),
    ("truncate -s 300 run/m.state", GO_ON, 3, "m.state: cut short, ... take another copy", ""),
    ("printf '\\x80\\x04N.' > run/m.state", GO_ON, 3, "m.state: it is a Python pickle", ""),
    ("cp run/m_best.mdl run/m.state", GO_ON, 3, "m.state", ""),
    ("gzip -c run/m_best.mdl > run/m.state", GO_ON, 3, "m.state: it is gzip data", ""),
    (
        "printf '\\xff' | dd of=run/m.state bs=1 seek=40 conv=notrunc status=none",
        GO_ON,
        3,
        "m.state",
        "",
    ),
    (
        "printf x | dd of=run/m.state bs=1 conv=notrunc status=none "
        "seek=$(($(stat -c %s run/m.state) - 3))",
        GO_ON,
        3,
        "m.state: its content is not what was saved; take another copy",
        "",
    ),
    ("rm run/m.state; mkdir run/m.state", GO_ON, 3, "not a file: ... m.state: remove it", ""),
    ("rm run/m_run.yaml", GO_ON, 2, "no run that tells its options: ... m_run.yaml: give its", ""),
    ("rm -r run", GO_ON, 2, "no run that tells its options: ... m_run.yaml: give its", ""),
    ("rm run/m.state", GO_ON, 2, "resume: no m.state beside ... start a new run", ""),
    # other trainings than the one that was begun
    ("rm train/cat/0.png", GO_ON, 3, "the training set has changed: 15 images, 16 when", ""),
    ("mv train/cat/0.png train/cat/9.png", GO_ON, 3, "the training set has changed", ""),
    (
        "cp train/dog/0.png train/cat/0.png",
        GO_ON,
        3,
        "16 when the run began, with other pixels",
        "",
    ),
    ("", f"{GO_ON} --batch-size 8", 2, "batch-size 8 times batch-size-factor 1 is not 2 as", ""),
    ("", f"{GO_ON} --model-desc C[9] R", 2, "--model-desc is C[9] R but the run trains C[8]", ""),
    ("", f"{GO_ON} --overwrite", 2, "--overwrite: choose one of the two", ""),
    ("", f"{NEW} --output-prefix run/m", 2, "m.state is there already: give --resume to", ""),
    (
        "mv train/cat train/cow; mv test/cat test/cow",
        f"model-train {SETS} --model run/m_best.mdl --output-prefix other/m",
        3,
        "class 'cow' is not one of the 2 classes of the model ... --init-partial",
        "",
    ),
    # no faults
    (
        "cp test/dog/0.png test/cat/0.png",
        GO_ON,
        0,
        "test set has changed: 16 images, 16 when the run began, with other pixels",
        RECORD,
    ),
    (
        "mkdir -p broken/matplotlib; echo 1 / 0 > broken/matplotlib/__init__.py",
        f"PYTHONPATH=broken {GO_ON} --epochs 2",
        0,
        "warning: no m_curves.png: division by zero",
        f"{RECORD} {EPOCH} run/m_epoch* broken/*",
    ),
    ("", f"{NEW} --epochs 1 --learn-rate 0.02 --output-prefix run/n", 0, "epoch 1/1", "run/n*"),
    (
        f"{NEW} --quiet --epochs 1 --learn-rate 0.02 --output-prefix run/n > /dev/null",
        f"{GO_ON} --epochs 2",
        0,
        "resume: after epoch 1/2 ... learn rate 0.01 ... epoch 2/2",
        f"{RECORD} {EPOCH} run/m_epoch*",
    ),
    (
        "mv run/m_run.yaml run/run.yaml",  # as earlier versions left it
        f"{GO_ON} --epochs 2",
        0,
        "resume: after epoch 1/2 ... learn rate 0.01",
        f"{RECORD} {EPOCH} run/m_epoch*",
    ),
    (
        "sed s:run/m:run/n: run/m_run.yaml > run/run.yaml; rm run/m_run.yaml",
        GO_ON,
        2,
        "no run that tells its options: ... m_run.yaml",
        "",
    ),
    ("", f"{GO_ON}m", 2, "mm_run.yaml: give its --output-prefix (did you mean 'm'?)", ""),
    ("", GO_ON, 0, "the run has finished after 1 epochs: larger --epochs go on", RECORD),
    (
        "",
        f"{NEW} --epochs 1 --resume --output-prefix other/m",
        0,
        "nothing to resume at ... other/m: starting",
        "other other/*",
    ),
    (
        "mv train/cat train/cow; mv test/cat test/cow",
        f"model-train {SETS} --model run/m_best.mdl --init-partial --model-desc C[8] C[9] R "
        "--epochs 1 --output-prefix other/m",
        0,
        "run/m_best.mdl: 2 of 5 arrays loaded; skipped (shape differs): ... new: ",
        "other other/*",
    ),
    ("", f"{NEW} --dry-run --output-prefix other/place/m", 0, "dry run: 2 steps, a test", ""),
    ("", f"{NEW} --dry-run --output-prefix run/m", 0, "dry run: 2 steps, a test", ""),
    (
        "sed s/^epochs/epoks/ run/m_run.yaml > other.yaml",
        "model-train --config other.yaml --output-prefix other/m",
        2,
        "unknown key 'epoks': other.yaml line ... did you mean 'epochs'",
        "",
    ),
    (
        "",
        "model-train --config run/m_run.yaml --output-prefix other/m && "
        "cmp run/m_epoch001_final.mdl other/m_epoch001_final.mdl",
        0,
        "epoch 1/1",
        "other other/*",
    ),
]

NAMES = [f"{before}; {script}" if before else script for before, script, *_ in FAULTS]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a small dataset, a run of one epoch of it, run, and one of all epochs, straight."""
    directory = tmp_path_factory.mktemp("prepared")
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = directory / split / name
            folder.mkdir(parents=True)
            for index in range(8):
                rng = np.random.default_rng([index, name == "dog", split == "test"])
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    one, all_epochs = f"{NEW} --epochs 1", f"{NEW} --epochs {EPOCHS}"
    script = f"{one} --output-prefix run/m && {all_epochs} --output-prefix straight/m"
    code, errors = outcome(shell(directory, script))
    assert code == 0, errors
    return directory


@pytest.fixture
def directory(prepared: Path, tmp_path: Path) -> Path:
    """Return a copy of what was prepared."""
    return shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize(("before", "script", "code", "words", "may_differ"), FAULTS, ids=NAMES)
def test_fault(
    before: str, script: str, code: int, words: str, may_differ: str, directory: Path
) -> None:
    assert outcome(shell(directory, before)) == (0, "")
    files = tree(directory)
    ended, errors = outcome(shell(directory, script))
    assert ended == code, errors
    assert told(words, errors), errors
    assert "Traceback" not in errors
    differ = {name for name, _ in tree(directory).items() ^ files.items()}
    allowed = {name for glob in may_differ.split() for name in fnmatch.filter(differ, glob)}
    assert differ == allowed
    assert not fnmatch.filter(differ, "*.tmp")


def send(*numbers: int) -> Stop:
    """Return a stop by signals."""

    def stop(process: "subprocess.Popen[str]", directory: Path) -> None:
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.1)  # two at the very same time would be one

    return stop


def take_directory(process: "subprocess.Popen[str]", directory: Path) -> None:
    (directory / "run").rename(directory / "gone")


# What stops a training, which waits in an epoch after the first until its log is read: before the
# start, options, an action; then the exit code and words on stderr.
STOPS: list[tuple[str, str, Stop | None, int, str]] = [
    ("", "", send(signal.SIGINT), 130, "interrupted after epoch ... --resume goes on from ... run"),
    ("", "", send(signal.SIGTERM), 143, "interrupted after epoch ... --resume goes on from"),
    ("", "", send(signal.SIGHUP), 129, "interrupted after epoch ... --resume goes on from"),
    ("", "", send(signal.SIGINT, signal.SIGINT), 130, "error: interrupted"),
    ("", "", send(signal.SIGTERM, signal.SIGTERM), 143, "error: interrupted"),
    ("", "", take_directory, 3, "cannot write: ... No such file or directory"),
    ("ulimit -f 2;", "", None, 3, "m.state: ... File too large"),
    ("ulimit -f 20;", "", None, 0, "curves.png: File too large"),
    ("", "--learn-rate 1e9", None, 4, "lower --learn-rate"),
]


@pytest.mark.parametrize(("before", "options", "stop", "code", "words"), STOPS)
def test_stop(
    before: str, options: str, stop: Stop | None, code: int, words: str, directory: Path
) -> None:
    """Whatever stopped it, the run goes on to the result of one that was never stopped."""
    script = f"{before} {GO_ON} --epochs {EPOCHS} --log-every 1e-9 {options}"
    process = shell(directory, script, "exec")
    if stop:
        wait_until_it_waits(process, "epoch 2/")
        stop(process, directory)
    ended, errors = outcome(process)
    assert ended == code, errors
    assert told(words, errors), errors
    if stop is take_directory:
        (directory / "gone").rename(directory / "run")
    assert not list(directory.rglob("*.tmp"))

    # run.yaml tells the rest
    ended, errors = outcome(shell(directory, f"{GO_ON} {'--learn-rate 0.01' if options else ''}"))
    assert ended == 0, errors
    for name in (f"m_epoch{EPOCHS:03d}_final.mdl", "m_best.mdl"):
        resumed, straight = directory / "run" / name, directory / "straight" / name
        assert resumed.read_bytes() == straight.read_bytes()
