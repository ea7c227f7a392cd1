"""Scripts of bash that run our commands, and what they leave."""

import hashlib
import os
import re
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest
from conftest import CHOICES, ROOT

fcntl, termios = map(pytest.importorskip, ("fcntl", "termios"))

PIPE = 4096  # bytes that wait for a reader; then the command waits too


def shell(directory: Path, script: str, way: str = "") -> "subprocess.Popen[str]":
    """Start a script of bash that knows our commands; ``way`` exec replaces bash by the first."""
    known = f'model-train() {{ {way} "{sys.executable}" "{ROOT}/bin/model-train" "$@"; }}'
    return subprocess.Popen(
        ["bash", "-c", f"{known}\n{script}"],
        cwd=directory,
        env={key: value for key, value in os.environ.items() if key not in CHOICES},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=PIPE,
        text=True,
    )


def told(words: str, text: str) -> bool:
    """Say whether the parts between " ... " stand in the text, in this order."""
    pattern = ".*".join(re.escape(part) for part in words.split(" ... "))
    return bool(re.search(pattern, text, re.DOTALL))


def outcome(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Return the exit code as a shell tells it, and what is left of stderr."""
    _, errors = process.communicate(timeout=120)
    code = process.returncode
    return (128 - code if code < 0 else code), errors


def tree(directory: Path) -> dict[str, str]:
    """Return every path below with the sha256 of the file, "" for what is none."""
    return {
        str(path.relative_to(directory)): ""
        if not path.is_file()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
    }


def wait_until_it_waits(process: "subprocess.Popen[str]", start: str) -> None:
    """Read the log up to the line with this start, then no more until the pipe is full."""
    assert process.stderr
    next(line for line in process.stderr if line.startswith(start))
    waiting = array("i", [0])
    while waiting[0] < PIPE - 150:  # less than the next line
        assert process.poll() is None
        time.sleep(0.01)
        fcntl.ioctl(process.stderr, termios.FIONREAD, waiting)
