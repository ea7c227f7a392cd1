"""model-train-multi: what starts how many ranks, and that they are one command to who runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.commands import parser
from conftest import CHOICES, ROOT, Command

from denet.cli.train_multi import Gpu, Hosts, filled, gpu_numbers, take_gpu
from denet.errors import UsageError
from denet.multi.mpiexec import Host
from denet.multi.started import started

needs_mpi = pytest.mark.skipif(
    sys.platform == "win32", reason="the extra [multi] is not to be had on Windows"
)
SMALL = ["--model-desc", "C[4,3]", "A", "P.A", "R", "--train", "train", "--ext", "png"]
RUN = [*SMALL, "--batch-size", 4, "--epochs", 2, "--seed", 1, "--output-prefix", "run/m"]


@pytest.mark.parametrize(
    ("word", "hosts"),
    [
        ("a:4,b:4", [Host("a", 4), Host("b", 4)]),
        ("10.0.0.1", [Host("10.0.0.1", 0)]),
        ("node-1.x_y:12", [Host("node-1.x_y", 12)]),
    ],
)
def test_hosts(word: str, hosts: list[Host]) -> None:
    assert Hosts().read(word) == hosts


WRONG = ["", ",", "a,", "a:", "a:0", "a:-1", "a:x", "a:1:2", "a,a", "a b", "-x", ".a", "a;b", "a:٣"]


@pytest.mark.parametrize("word", WRONG)
def test_wrong_hosts(word: str) -> None:
    with pytest.raises(ValueError, match="such as a:4,b:4; got"):
        Hosts().read(word)


def test_hosts_without_a_number_take_one_rank_for_each_gpu() -> None:
    hosts = Hosts().read("a,b:3")
    assert filled(hosts, None, 0) == [Host("a", 1), Host("b", 3)]
    assert filled(hosts, 5, 2) == [Host("a", 2), Host("b", 3)]
    with pytest.raises(UsageError, match="--ranks: 4, but --hosts take 5"):
        filled(hosts, 4, 2)


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [Gpu().read(word) for word in ("3", "gpu0", "cuda12")] == [3, 0, 12]
    for word in ("", "gpu", "-1", "1.5", "cpu", "gpu٣", "0,1"):
        with pytest.raises(ValueError, match="the number of a GPU"):
            Gpu().read(word)
    options = parser("model-train-multi").parse(["--gpus", "gpu2", "0"])
    assert gpu_numbers(options) == [2, 0]
    monkeypatch.setenv("GPU", "1,3")
    with pytest.raises(UsageError, match="--gpus: together with GPU=1,3: choose one of the two"):
        gpu_numbers(options)
    options.gpus = None
    assert gpu_numbers(options) == [1, 3]
    for text in ("1,", "x", "0 1", "-1"):
        monkeypatch.setenv("GPU", text)
        with pytest.raises(UsageError, match=f"GPU={text}: give numbers of GPUs"):
            gpu_numbers(options)


# what starts a rank: rank and number of ranks, number on its host
STARTED = [
    ({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"}, (3, 4), 1),
    (
        {
            "OMPI_COMM_WORLD_RANK": "2",
            "OMPI_COMM_WORLD_SIZE": "4",
            "OMPI_COMM_WORLD_LOCAL_RANK": "0",
        },
        (2, 4),
        0,
    ),
    ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}, (5, 8), 1),
    ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}, None, 0),
    # srun --mpi=pmi2
    ({"PMI_RANK": "3", "PMI_SIZE": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}, (3, 4), 1),
    ({"SLURM_PROCID": "0"}, None, 0),  # of a script
    ({}, None, 0),
]


@pytest.mark.parametrize(("told", "place", "local"), STARTED)
def test_who_started_a_rank(
    told: dict[str, str], place: object, local: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {name for each, _, _ in STARTED for name in each}:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPU", "7,9")
    assert started() == place
    take_gpu([7, 9])
    assert os.environ["GPU"] == ("7", "9")[local]
    if local:
        with pytest.raises(UsageError, match="GPU=7: none for rank 1 of this host"):
            take_gpu([7])


def test_a_rank_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "x")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(UsageError, match="PMI_RANK=x: not a number of ranks"):
        started()


def test_one_rank_does_as_model_train(images: np.ndarray, command: Command, tmp_path: Path) -> None:
    done = command("model-train-multi", *RUN, "--model-dims", "dims.json")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'run'}\n"), done.stderr
    alone = command("model-train", *RUN, "--border-mode", "half", "--output-prefix", "run/n")
    assert alone.returncode == 0
    own, other = (tmp_path / f"run/{name}_epoch002_final.mdl" for name in "mn")
    assert own.read_bytes() == other.read_bytes()
    assert json.loads((tmp_path / "dims.json").read_text()) == {
        "input": [3, 10, 10],
        "output": [2, 1, 1],
        "dims": [{"shape": shape} for shape in ([4, 10, 10], [4, 10, 10], [4, 1, 1], [2, 1, 1])]
        + [{"shape": [2, 1, 1]}],
    }


@needs_mpi
def test_ranks_are_one_command(images: np.ndarray, command: Command, tmp_path: Path) -> None:
    dims = ["--model-dims", "dims.json"]
    done = command("model-train-multi", *RUN, *dims, "--ranks", 2)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'run'}\n"), done.stderr
    assert done.stderr.count("training 120 parameters on 6 images") == 1
    assert "error" not in done.stderr and (tmp_path / "dims.json").exists()
    log = (tmp_path / "run" / "m_log.txt").read_text()
    assert log.count("epoch 2/2") == done.stderr.count("epoch 2/2") == 1
    again = ["--restart", "--output-prefix", "run/m", "--epochs", 3, "--ranks", 2]
    assert command("model-train-multi", *again).returncode == 0
    assert (tmp_path / "run" / "m_epoch003_final.mdl").exists()
    tried = command("model-train-multi", *RUN, "--output-prefix", "n", "--dry-run", "--ranks", 2)
    assert tried.returncode == 0 and "dry run: 2 steps" in tried.stderr
    model = "run/m_epoch003_final.mdl"
    tests = ["--skip-train", "--model", model, "--test", "train", "--ext", "png"]
    told = command("model-train-multi", *tests, "--ranks", 2)
    assert told.returncode == 0
    assert told.stdout == command("model-train", *tests).stdout


@needs_mpi
@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--ranks", 2], 2, "error: --train is missing: "),
        (["--ranks", 2, "--epocs", 1], 2, "error: unknown option '--epocs' (did you mean"),
        ([*RUN, "--ranks", 3, "--train", "none"], 3, "error: no such directory: "),
        ([*RUN, "--ranks", 2, "--model-dims", "no/such/file"], 3, "error: cannot write: "),
        ([*RUN, "--ranks", 3, "--gpus", 0, 1], 2, "error: --ranks: more on a host than its 2"),
        ([*RUN, "--ranks", 2, "--hosts", "a:4"], 2, "error: --ranks: 2, but --hosts take 4"),
        ([*RUN, "--ranks", 1, "--local-steps", 4], 2, "error: --local-steps: with one rank"),
    ],
)
def test_an_error_is_one_line(
    words: list[object], code: int, line: str, images: np.ndarray, command: Command
) -> None:
    done = command("model-train-multi", *words)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error: ") == 1 and line in done.stderr and done.stdout == ""


@needs_mpi
def test_ranks_that_mpiexec_has_started(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from denet.multi.mpiexec import find_mpiexec

    train = [sys.executable, ROOT / "bin" / "model-train-multi", *RUN]
    for more, code, out in (([], 0, f"{tmp_path / 'run'}\n"), (["--ranks", 3], 2, "")):
        done = subprocess.run(
            [find_mpiexec().path, "-n", "2", *map(str, [*train, *more])],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name not in CHOICES},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (code, out), done.stderr
    assert "error: --ranks: 3, but 2 have been started: leave it out\n" in done.stderr


@needs_mpi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_ranks_go_on(
    number: signal.Signals, images: np.ndarray, command: Command, tmp_path: Path
) -> None:
    words = [*RUN, "--epochs", 100_000, "--disable-intermediate", "--ranks", 2]
    process = subprocess.Popen(
        [sys.executable, ROOT / "bin" / "model-train-multi", *map(str, words)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in CHOICES},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert next(line for line in process.stderr if line.startswith("epoch 2/"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors.count("--resume goes on from") == 1
    assert errors.endswith("error: interrupted\n") and errors.count("error: ") == 1
    found = re.search(r"interrupted after epoch (\d+)/", errors)
    assert found
    again = ["--resume", "--output-prefix", "run/m", "--epochs", int(found[1]) + 1, "--ranks", 2]
    assert command("model-train-multi", *again).returncode == 0
