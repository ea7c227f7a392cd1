"""What a command finds around it: streams that take nothing, no directory, little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHOICES, ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs /dev/full and limits on addresses as Linux has them"
)

FULL = "No space left on device: standard output"
GONE = "mkdir gone; cd gone; rmdir ../gone;"
DELETED = "error: the current directory has been deleted: cd to another"
SMALL = "model-train --model-desc C[4] P.A R --train set --ext png --epochs 1 --output-prefix run/m"

# script, exit code, words on stderr
CASES = [
    ("model-info --epocs", 2, "unknown option"),
    ("model-info --epocs 2>/dev/full", 2, ""),
    ("model-info --data none 2>/dev/full", 3, ""),
    ("model-info --data none --debug 2>/dev/full", 3, ""),
    ("model-info --data none 2>&-", 3, ""),
    ("model-info --data none >&- 2>&- <&-", 3, ""),
    ("model-info --layers 2>/dev/full", 0, ""),
    ("model-info --layers >&- 2>&- <&-", 0, ""),
    ("model-info --layers 2>&1 >/dev/full | grep -q .", 0, ""),
    ("model-info --layers >/dev/full", 3, FULL),
    ("model-info --help >/dev/full", 3, FULL),
    ("model-info --version >/dev/full", 3, FULL),
    ("model-info --print-config >/dev/full", 3, FULL),
    ("model-info --help >/dev/full 2>/dev/full", 3, ""),
    ("PYTHONUNBUFFERED=1 model-info --version >/dev/full", 3, FULL),
    (f"{GONE} model-info --data x", 3, DELETED),
    (f"{GONE} model-predict --model m.mdl --input x", 3, DELETED),
    (f"{GONE} {SMALL}", 3, DELETED),
]


def shell(directory: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of bash that knows our commands; what is written at once is seen at once."""
    kept = {key: value for key, value in os.environ.items() if key not in CHOICES}
    kept.pop("PYTHONUNBUFFERED", None)
    known = "".join(
        f'{path.name}() {{ "{sys.executable}" "{path}" "$@"; }}\n'
        for path in (ROOT / "bin").iterdir()
    )
    return subprocess.run(
        ["bash", "-c", known + script], cwd=directory, env=kept, capture_output=True, text=True
    )


@pytest.mark.parametrize(("script", "code", "words"), CASES)
def test_the_exit_code_is_right(script: str, code: int, words: str, tmp_path: Path) -> None:
    done = shell(tmp_path, script)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == bool(words)


# addresses that a process may have, in KB: none for the libraries, some, all that is needed
@pytest.mark.parametrize("limit", [60_000, 100_000, 220_000, 600_000])
def test_little_memory_is_told_with_its_cause(limit: int, tmp_path: Path) -> None:
    """5e9 numbers do not fit anywhere below."""
    frugal = "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
    large = "model-info --model-desc C[60000,300] R --image-size 300 300"
    done = shell(tmp_path, f"{frugal}; ulimit -v {limit}; {large}")
    assert done.returncode == 5, done.stderr
    cause = f"the limit on addresses (ulimit -v) is {limit * 1024 / 1e6:.0f} MB: raise it\n"
    assert done.stderr.startswith("error: ") and done.stderr.endswith(cause)
    assert done.stderr.count("\n") == 1
