"""Ranks started by mpiexec: how they end, what is said of it, and what is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CHOICES, ROOT

pytest.importorskip("mpi4py")  # the extra [multi], which is not to be had on Windows

from denet.cores import core_count
from denet.multi.leftovers import leftovers, shared_files
from denet.multi.outcome import Sieve

PROGRAM = Path(__file__).with_name("launched.py")
OTHERS_SECONDS = 10  # that tests beside this one have to remove the files of theirs
RESUME = "--resume goes on from the last state"
LAUNCH = """
import os, sys
import denet.multi.launch
from denet.errors import DenetError
from denet.multi.launch import launch
from denet.multi.mpiexec import Host
count, hosts, gpus, *words = sys.argv[1:]
denet.multi.launch.START = float(os.environ.get("START_SECONDS", "60"))
try:
    sys.exit(launch(words, int(count), [Host(*each) for each in eval(hosts)], eval(gpus)))
except DenetError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""
Launched = subprocess.Popen[str]
Start = Callable[..., Launched]


def processes(mark: str) -> list[str]:
    """Return the command lines of all processes that have ``mark`` in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line:
            found.append(line)
    return found


def environment() -> dict[str, str]:
    dropped = (*CHOICES, "OMP_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts ranks of ``launched.py``; in the end nothing of them may be left."""
    before = shared_files()
    begun: list[Launched] = []

    def start(
        ranks: int,
        *words: object,
        hosts: object = (),
        gpus: object = (),
        env: dict[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
    ) -> Launched:
        own = [str(PROGRAM), str(tmp_path), str(tmp_path / "file"), *map(str, words)]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(ranks), repr(hosts), repr(gpus), *own],
            env=environment() if env is None else env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    ended = [process.poll() is not None for process in begun]
    for process in begun:
        process.kill()
    assert all(ended) and processes(str(tmp_path)) == []
    end = time.monotonic() + OTHERS_SECONDS
    while (left := leftovers(before)) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []


def outcome(process: Launched) -> tuple[int, str, str]:
    """Return the exit code, and what is left of stdout and stderr."""
    told = process.communicate(timeout=60)
    return process.returncode, *told


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
    ("word", "code", "line"),
    [
        ("raise", 1, "error: the cause\n"),
        ("thread", 1, "error: the cause\n"),
        ("memory", 5, "error: too little of it\n"),
    ],
)
def test_a_rank_that_fails_ends_all(
    word: str, code: int, line: str, victim: int, start: Start
) -> None:
    assert outcome(start(3, word, victim)) == (code, "", line)


def assert_told(errors: str, rank: str, how: str, host: str = os.uname().nodename) -> None:
    """Check that the end of this rank was told, by the others or else by what mpiexec said.

    That tells less, and nothing of a rank that ended before the launcher had heard of it.
    """
    told = rf"{rank} \({re.escape(host)}\): ({how}|gone)|a rank: gone"
    coded = f"({rank}|a rank) ended with code 3"
    assert re.fullmatch(f"error: ({told}|{coded}): {RESUME}\n", errors)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_ends_all(victim: int, start: Start) -> None:
    code, out, errors = outcome(start(3, "kill", victim))
    assert (code, out) == (6, "")
    assert_told(errors, f"rank {victim} of 3", "killed")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_exits_ends_all(victim: int, start: Start) -> None:
    code, out, errors = outcome(start(3, "exit", victim))
    assert (code, out) == (6, "")
    assert_told(errors, f"rank {victim} of 3", "killed|ended with code 3")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_stands_still_ends_all(victim: int, start: Start) -> None:
    code, out, errors = outcome(start(2, "hold", victim, 2))
    assert (code, out) == (6, "")
    host = os.uname().nodename
    assert errors == f"error: rank {victim} of 2 ({host}): silent for 2 s: {RESUME}\n"


def test_all_end_well(start: Start) -> None:
    assert outcome(start(4, "well")) == (0, "", "")


def test_ranks_that_could_not_even_join(start: Start) -> None:
    code, _, errors = outcome(start(2, "early"))
    assert code == 6 and errors == f"error: a rank: gone: {RESUME}\n"


def ready(process: Launched, ranks: int) -> None:
    assert process.stderr
    assert [process.stderr.readline() for _ in range(ranks)] == ["ready\n"] * ranks


@pytest.mark.parametrize(
    ("number", "passed"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGTERM),
    ],
)
def test_a_signal_reaches_each_rank_once(
    number: int, passed: int, start: Start, tmp_path: Path
) -> None:
    process = start(3, "stop")
    ready(process, 3)
    process.send_signal(number)
    assert outcome(process) == (128 + number, "", "error: interrupted\n")
    saved = (tmp_path / "file").read_text().splitlines()
    assert len(saved) == 1  # one checkpoint
    counts = json.loads(saved[0])
    assert all(each in ([], [passed]) for each in counts) and [passed] in counts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_all_at_once(number: int, start: Start) -> None:
    process = start(2, "deaf")
    ready(process, 2)
    process.send_signal(number)
    assert process.stderr
    assert [process.stderr.readline() for _ in range(2)] == ["heard\n"] * 2
    process.send_signal(number)
    assert outcome(process) == (128 + number, "", "error: interrupted\n")


def test_a_signal_before_ranks_know_each_other_ends_all(start: Start) -> None:
    process = start(2, "late")
    ready(process, 2)
    process.send_signal(signal.SIGINT)
    assert outcome(process) == (128 + signal.SIGINT, "", "error: interrupted\n")


def test_what_ranks_are_told(start: Start) -> None:
    code, out, errors = outcome(start(2, "tell", gpus=(3, 1)))
    assert (code, errors) == (0, "")
    threads = str(max(1, core_count() // 2))
    for rank, (place, local, known) in enumerate(json.loads(out)):
        assert (place, local) == ([rank, 2], rank)
        assert (known["OMP_NUM_THREADS"], known["GPU"]) == (threads, "3,1")
        assert known["DENET_TERMINAL"] == "0" and known["DENET_HOSTS"] is None
        assert known["MPIR_CVAR_ENABLE_HEAVY_YIELD"] == ("1" if core_count() < 2 else None)


def test_more_ranks_than_cores_give_way_to_each_other(start: Start) -> None:
    process = start(core_count() + 1, "tell", env=environment() | {"OMP_NUM_THREADS": "7"})
    code, out, _ = outcome(process)
    known = json.loads(out)[0][2]
    assert code == 0 and known["MPIR_CVAR_ENABLE_HEAVY_YIELD"] == "1"
    assert known["OMP_NUM_THREADS"] == "7"  # what a person set


def test_hosts_are_named_as_they_were_typed(start: Start) -> None:
    process = start(2, "kill", 1, hosts=[("localhost", 2)])
    code, _, errors = outcome(process)
    assert code == 6
    assert_told(errors, "rank 1 of 2", "killed", "localhost")


def test_a_host_that_is_not_there(start: Start) -> None:
    code, _, errors = outcome(start(2, "well", hosts=[("host.invalid", 2)]))
    assert code == 6 and "error: mpiexec could not start the ranks: " in errors
    assert errors.count("error: ") == 1


@pytest.fixture
def two_hosts(tmp_path: Path) -> dict[str, Any]:
    """Let mpiexec start each of two ranks on a host of its own, both of them this machine."""
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nshift 2\nexec sh -c "$*"\n')  # -x HOST COMMAND
    ssh.chmod(0o755)
    by_ssh = {**environment(), "HYDRA_LAUNCHER_EXEC": str(ssh)}
    return {"hosts": [("127.0.0.2", 1), ("127.0.0.3", 1)], "env": by_ssh}


def test_a_host_that_is_gone_ends_all(start: Start, two_hosts: dict[str, Any]) -> None:
    """Though mpiexec waits for it."""
    code, out, errors = outcome(start(2, "gone", 1, 2, **two_hosts))
    assert (code, out) == (6, "")
    assert errors == f"error: rank 1 of 2 (127.0.0.3): silent for 2 s: {RESUME}\n"


def test_a_host_that_is_gone_in_the_end_is_not_missed(
    start: Start, two_hosts: dict[str, Any]
) -> None:
    assert outcome(start(2, "orphan", 1, **two_hosts)) == (0, "", "")


def test_ranks_that_never_start(start: Start) -> None:
    process = start(2, "late", env={**environment(), "START_SECONDS": "3"})
    code, out, errors = outcome(process)
    assert (code, out) == (6, "")
    assert (
        errors == "ready\nready\nerror: 2 of 2 ranks did not start: see that all --hosts answer\n"
    )


def test_processes_of_two_hosts_may_have_the_same_number() -> None:
    sieve = Sieve("token")
    sieve.feed("stderr", b"".join(b"\x1etoken %d pid 7\x1e" % rank for rank in range(3)))
    assert sieve.processes == {0: 7, 1: 7, 2: 7}


def test_an_empty_environment_and_no_stdin(start: Start) -> None:
    process = start(2, "well", env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.close()
    process.stdin = None
    assert outcome(process) == (0, "", "")


def mapped(mark: str) -> set[Path]:
    """Return the shared memory of the processes that have ``mark`` in their command line."""
    found: set[Path] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_text(errors="replace"):
                maps = path.with_name("maps").read_text()
                found |= {Path(each) for each in re.findall(r"/dev/shm/\S+", maps)}
        except OSError:
            continue  # it has ended
    return found


def test_the_files_of_others_stay(start: Start, tmp_path: Path) -> None:
    """Those that were there, and those that a process uses that began meanwhile."""
    assert outcome(start(2, "well"))[0] == 0
    process = start(2, "deaf")
    ready(process, 2)
    used = mapped(str(tmp_path)) & shared_files()
    assert outcome(start(2, "kill", 1))[0] == 6
    assert used and shared_files() >= used
    for _ in range(2):
        process.terminate()
        assert process.stderr
        process.stderr.readline()
    outcome(process)


MISSING = "pip install mpi4py mpich"


@pytest.mark.parametrize(
    ("hidden", "line"),
    [
        ("mpi4py", f"error: mpi4py is not installed: {MISSING}\n"),
        ("mpiexec", f"error: no mpiexec, which starts the ranks: {MISSING}\n"),
    ],
)
def test_no_mpi(hidden: str, line: str, tmp_path: Path) -> None:
    """A Python of its own, that has the packages but the one."""
    import venv

    venv.create(tmp_path / "own", with_pip=False, symlinks=True)
    own = tmp_path / "own" / "bin" / "python"
    if hidden == "mpiexec":
        (package,) = {Path(file).parent for file in [_file("mpi4py")]}
        site = next((tmp_path / "own").glob("lib*/python*/site-packages"))
        (site / "mpi4py").symlink_to(package)
    done = subprocess.run(
        [own, "-c", LAUNCH, "2", "[]", "[]", "none.py"],
        env={"PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, line)


def _file(module: str) -> str:
    import importlib.util

    spec = importlib.util.find_spec(module)
    assert spec and spec.origin
    return spec.origin


@pytest.mark.parametrize(
    ("told", "mend"),
    [
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, "take the mpiexec of the MPI that mpi4py loads, "),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, "srun takes --mpi=pmi2 for MPICH "),
    ],
)
def test_an_mpi_that_did_not_start_the_ranks(
    told: dict[str, str], mend: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path, tmp_path / "file", "well"],
        env=environment() | told,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    told_sizes = "error: started as rank 1 of 2, but MPI knows rank 0 of 1: "
    assert done.stderr.startswith(told_sizes + mend)
