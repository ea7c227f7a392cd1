"""Whoever asks an example for help gets it, and nothing else happens."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DRAWING = ("make_shapes.py", "make_objects.py")
PROGRAMS = (*DRAWING, "notebook.py", "onnx_predict.py")
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.sh"))


@pytest.mark.parametrize("name", [*PROGRAMS, *SCRIPTS])
def test_help(name: str, tmp_path: Path) -> None:
    program = sys.executable if name in PROGRAMS else "bash"
    words = [program, str(EXAMPLES / name), "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    assert name in done.stdout and "bin/env" not in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", DRAWING)
def test_a_directory_must_be_given(name: str, tmp_path: Path) -> None:
    for words in ([], ["--out", "x"]):
        program = [sys.executable, str(EXAMPLES / name), *words]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2 and "usage: " in done.stderr
        assert not list(tmp_path.iterdir())
