"""Programs of several ranks, run by the mpiexec of the MPI that is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SECONDS = 300  # a program that hangs fails the test


def unavailable() -> str | None:
    """Return why no program of several ranks can run here, None where one can."""
    if not importlib.util.find_spec("mpi4py"):
        return "mpi4py is not installed"
    return None if mpiexec() else "mpiexec is not installed"


def mpiexec() -> str | None:
    """Return the program that starts ranks: the one of this environment if it has one."""
    return shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")


def run_ranks(count: int, program: Path, *words: object) -> str:
    """Run a Python program as so many ranks; return what it printed. AssertionError if it fails."""
    path = os.pathsep.join(map(str, (TESTS.parent, TESTS)))
    # lines of ranks that write side by side may mix where they are not written at once
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment = {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [str(mpiexec()), "-n", str(count), sys.executable, str(program), *map(str, words)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, stdin=-3
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout
