"""A long training takes no more memory than a short one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOICES, ROOT

EARLY, LATE = 3, 20  # epochs
OPTIONS = (
    "--train set --test set --ext npy --border-mode half --model-desc C.B[16,3] BN A D "
    f"RSN[16,3] P.A R --learn-momentum 0.9 --batch-size 24 --thread-num 2 --epochs {LATE + 5} "
    "--distort-mode r10 m50 --model-save-dt 0.001 --output-prefix run/m"
).split()


def held(number: int) -> int | None:
    """Return the kB of memory that a process holds; None if it has ended."""
    status = Path(f"/proc/{number}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else None


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc, where Linux tells resident memory"
)
def test_memory_stays_flat(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # the last batch is shorter than the others
    np.save(tmp_path / "set_data.npy", rng.integers(0, 256, (250, 3, 32, 32), np.uint8))
    np.save(tmp_path / "set_labels.npy", np.arange(250, dtype=np.int32) % 5)
    kept = {key: value for key, value in os.environ.items() if key not in CHOICES}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "bin/model-train"), *OPTIONS],
        cwd=tmp_path,
        env={**kept, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    kilobytes = {
        int(epoch[1]): held(process.pid)
        for line in process.stderr
        if (epoch := re.match(r"epoch (\d+)/\d+: cost", line))
    }
    process.stderr.close()
    assert process.wait() == 0
    early, late = kilobytes[EARLY], kilobytes[LATE]
    assert early and late and abs(late - early) < 0.05 * early, kilobytes
