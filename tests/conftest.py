"""What all tests share: a fixed environment, and the commands as real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# what runs in the background of a shell ignores Ctrl-C, and so would all programs it starts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
CHOICES = ("GPU", "DENET_ONEDNN", "DISPLAY")  # variables that change what a command does

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

Result = subprocess.CompletedProcess[str]
Command = Callable[..., Result]


def run_command(
    directory: Path,
    name: str,
    *arguments: object,
    env: dict[str, str] | None = None,
    stdin: str | None = None,
) -> Result:
    """Run bin/NAME in a directory and return what it left."""
    kept = {key: value for key, value in os.environ.items() if key not in CHOICES}
    return subprocess.run(
        [sys.executable, str(ROOT / "bin" / name), *map(str, arguments)],
        env={**kept, **(env or {})},
        cwd=directory,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return ``run_command`` for the empty directory of the test."""
    return partial(run_command, tmp_path)
