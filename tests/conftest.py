"""What all tests share: a fixed environment, and the commands as real processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
CHOICES = ("GPU", "DENET_ONEDNN", "DISPLAY")  # variables that change what a command does

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return a function that runs bin/NAME in an empty directory and returns what it left."""

    def run(
        name: str, *arguments: object, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key not in CHOICES}
        return subprocess.run(
            [sys.executable, str(ROOT / "bin" / name), *map(str, arguments)],
            env={**kept, **(env or {})},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
