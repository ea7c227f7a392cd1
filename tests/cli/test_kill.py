"""A training that is killed again and again ends like one that nothing has happened to.

Of several ranks one is killed, and the others follow it.
"""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOICES, ROOT

from denet.report.metrics import read_metrics

KILLS = 20
EPOCHS = 4
OPTIONS = (
    "--train train --test test --ext npy --border-mode half --model-desc C.B[16,3] BN A D P[2] "
    f"C.B[32,3] BN A P.A R --learn-momentum 0.9 --learn-rate 0.05 --learn-cosine --epochs {EPOCHS} "
    "--distort-mode r180 m50 --thread-num 2 --average ema --model-save-dt 0.002 --log-every 1e-9"
).split()
TIMES = re.compile("second|exchange|slowest")
# a line of the log -> what the training does when it has said so
DOING = {
    r"epoch \d+/\d+: batch": "training",
    r"test: batch": "testing",
    r"epoch \d+/\d+: cost": "saving models",
    "": "starting",
}


# command -> further words, how it ends when a process of it is killed
COMMANDS = {"model-train": ([], -signal.SIGKILL), "model-train-multi": (["--ranks", "2"], 6)}


def start(directory: Path, prefix: str, command: str) -> "subprocess.Popen[str]":
    kept = {key: value for key, value in os.environ.items() if key not in CHOICES}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "bin" / command), *OPTIONS, *COMMANDS[command][0]]
        + ["--output-prefix", f"{prefix}/m", "--resume"],
        cwd=directory,
        env={**kept, "OMP_NUM_THREADS": "1"},  # the order of sums depends on the threads
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ranks(directory: Path) -> list[int]:
    """Return the numbers of the processes that train in a directory as ranks."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended
            here = process.name.isdecimal() and os.readlink(process / "cwd") == str(directory)
            if here and b"\0PMI_RANK=" in b"\0" + (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def kill_somewhere(
    process: "subprocess.Popen[str]", run: Path, rng: random.Random, command: str
) -> str | None:
    """Kill a training and return what it was doing; None if it came to its end before."""
    assert process.stderr
    line = ""
    for _ in range(rng.randint(1, 60)):
        line = process.stderr.readline() or line
    if rng.random() < 0.4:
        while process.poll() is None and not list(run.glob(".*.tmp")):
            time.sleep(0.001)
    else:
        time.sleep(rng.uniform(0, 0.02))
    if process.poll() is None and command == "model-train":
        os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None and (pids := ranks(run.parent)):
        with suppress(ProcessLookupError):
            os.kill(rng.choice(pids), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        return None
    assert process.returncode == COMMANDS[command][1], line + errors
    assert not ranks(run.parent)
    if list(run.glob(".*.tmp")):
        return "writing a file"
    return next(what for pattern, what in DOING.items() if re.match(pattern, line))


def results(run: Path) -> dict[str, object]:
    """Return the hashes of all models and tests, and the columns of m_metrics.csv but the times."""
    found: dict[str, object] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.iterdir()
        if path.suffix in (".mdl", ".test")
    }
    metrics = read_metrics(run / "m_metrics.csv")
    return found | {name: column for name, column in metrics.items() if not TIMES.search(name)}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL, which Windows lacks")
@pytest.mark.parametrize("command", COMMANDS)
def test_kills(command: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, number in (("train", 640), ("test", 320)):
        images = rng.integers(0, 256, (number, 3, 16, 16), np.uint8)
        np.save(tmp_path / f"{name}_data.npy", images)
        np.save(tmp_path / f"{name}_labels.npy", np.arange(number, dtype=np.int32) % 4)
    straight = start(tmp_path, "straight", command)
    _, errors = straight.communicate(timeout=120)
    assert straight.returncode == 0, errors
    expected = results(tmp_path / "straight")
    assert expected["epoch"] == list(range(1, EPOCHS + 1))
    assert {f"m_epoch{EPOCHS:03d}_final.mdl", "m_best.mdl", "m_epoch002.test"} < set(expected)

    random_number = random.Random(1)
    killed: Counter[str] = Counter()
    states = finished = 0  # kills that left a state, runs that came to their end
    while killed.total() < KILLS or not finished:
        run = tmp_path / f"run{finished}"
        process = start(tmp_path, run.name, command)
        if killed.total() < KILLS:
            doing = kill_somewhere(process, run, random_number, command)
        else:
            _, errors = process.communicate(timeout=120)
            doing = None
        if doing:
            killed[doing] += 1
            states += (run / "m.state").exists()
            continue
        assert process.returncode == 0
        assert results(run) == expected
        assert not list(run.glob(".*"))
        finished += 1
    assert states >= KILLS / 4, killed
    assert len(killed) >= 3 and killed["training"] and killed["writing a file"], killed
