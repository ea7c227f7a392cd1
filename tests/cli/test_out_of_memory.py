"""Trainings that have too little memory: what they advise helps."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.shell import outcome, shell, told, tree, wait_until_it_waits

resource = pytest.importorskip("resource")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs resource limits as Linux has them"),
]

# else every core takes addresses that it never uses
FRUGAL = "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"
WIDE = "model-train --backend numpy --ext npy --model-desc C[8] A P[2] R --output-prefix run/m"
LIMIT = 670_000 + 74_000 * (os.cpu_count() or 1)  # KB; what threads may reserve is left out


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Lay out sets of images that make batches large."""
    rng = np.random.default_rng(0)
    for name, number in (("many", 1024), ("few", 800)):
        images = rng.integers(0, 256, (number, 3, 64, 64), np.uint8)
        np.save(tmp_path / f"{name}_data.npy", images)
        np.save(tmp_path / f"{name}_labels.npy", np.arange(number, dtype=np.int32) % 2)
    return tmp_path


def test_the_batch_size_that_is_advised_fits(wide: Path) -> None:
    script = f"{FRUGAL}; ulimit -v {LIMIT}; {WIDE} --train many --epochs 1 --batch-size"
    before = tree(wide)
    ended, errors = outcome(shell(wide, f"{script} 1024"))
    advice = re.search(r"try (--batch-size (\d+) --batch-size-factor (\d+)); the limit on", errors)
    assert ended == 5 and "error: batch of 1024: training needs" in errors and advice, errors
    assert int(advice[2]) * int(advice[3]) == 1024
    assert tree(wide) == before
    ended, errors = outcome(shell(wide, f"{script} 1024 {advice[1]}"))
    assert ended == 0, errors


def test_memory_that_runs_out_later(wide: Path) -> None:
    large = "export MALLOC_MMAP_THRESHOLD_=65536"  # arrays come from the system, one by one
    script = f"{FRUGAL}; {large}; {WIDE} --train few --epochs 2 --batch-size 4 --log-every 1e-9"
    process = shell(wide, script, "exec")
    wait_until_it_waits(process, "epoch 2/2: batch")
    resource.prlimit(process.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
    ended, errors = outcome(process)
    advice = "--batch-size 2 --batch-size-factor 2"
    assert ended == 5, errors
    assert told(f"out of memory: epoch 2/2, iteration ... try {advice}", errors), errors
    assert not list(wide.rglob("*.tmp"))
    ended, errors = outcome(shell(wide, f"model-train --resume --output-prefix run/m {advice}"))
    assert ended == 0, errors
