"""Kernels share their work among threads: more than one, and not a divisor of the sizes."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTS = ("test_onednn_kernels.py", "test_onednn_plan.py", "test_plan_equality.py")


def test_kernels_of_three_threads() -> None:
    """The number of threads is fixed when a process starts; those of tests have one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in TESTS)],
        env={**os.environ, "OMP_NUM_THREADS": "3", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
