"""Run the scripts of papers/ and examples/, or only have them print their commands."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def script(name: str, *words: object, directory: Path = ROOT, **variables: object) -> str:
    """Run a script; return what it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # bin/ asks for python3
    environment = {"PATH": path, **{key: str(value) for key, value in variables.items()}}
    done = subprocess.run(
        ["bash", str(ROOT / name), *map(str, words)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(name: str, *words: object, **variables: object) -> dict[str, list[list[str]]]:
    """Return the words of the commands that a script prints, by command."""
    text = script(name, *words, PRINT=1, **variables)
    commands: dict[str, list[list[str]]] = {}
    for line in text.replace("\n ", " ").splitlines():  # a network may take two lines
        command, *rest = shlex.split(line)
        commands.setdefault(command, []).append(rest)
    return commands
