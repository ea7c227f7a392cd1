"""What a training is said to need is what it takes, and what is advised fits."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOICES, ROOT

from denet.backend.select import choose_backend
from denet.errors import OutOfMemoryError
from denet.train.memory import Estimate, advice

# batch size, factor, times less memory -> batch size and factor with the same images per step
ADVICE = [
    (32, 1, 2.0, (16, 2)),
    (32, 1, 2.1, (8, 4)),
    (32, 1, 1.01, (16, 2)),
    (32, 4, 2.0, (16, 8)),
    (32, 1, 32.0, (1, 32)),
    (100, 1, 2.0, (50, 2)),
    (25, 1, 2.0, (12, 3)),  # 36 images instead of 25: not fewer than before
    (3, 2, 3.0, None),
    (1, 1, 2.0, None),
    (32, 1, 33.0, None),
    (32, 1, 1e30, None),
]


@pytest.mark.parametrize(("batch_size", "factor", "shrink", "expected"), ADVICE)
def test_advice(
    batch_size: int, factor: int, shrink: float, expected: tuple[int, int] | None
) -> None:
    text = advice(batch_size, factor, shrink)
    if expected is None:
        assert text.startswith("use smaller images or a smaller network")
    else:
        assert text == "try --batch-size {} --batch-size-factor {}".format(*expected)


# 700 MB grow with the batch, 100 MB do not, and 50 MB are held already
ESTIMATE = Estimate(
    batch_size=64,
    factor=1,
    growing={"activations": 600_000_000, "images": 100_000_000},
    fixed={"gradients": 99_500_000, "rest": 500_000},
    resident=50_000_000,
)


@pytest.mark.parametrize("available", [None, 800_000_000, 10**12])
def test_an_estimate_that_fits(available: int | None) -> None:
    ESTIMATE.check(available)


@pytest.mark.parametrize(
    ("available", "free", "mend"),
    [
        (799_999_999, "800 MB", "--batch-size 32 --batch-size-factor 2"),
        (450_000_000, "450 MB", "--batch-size 32 --batch-size-factor 2"),  # 350 + 100
        (449_000_000, "449 MB", "--batch-size 16 --batch-size-factor 4"),  # 175 + 100
        (111_000_000, "111 MB", "--batch-size 1 --batch-size-factor 64"),  # 10.9 + 100
        (110_000_000, "110 MB", "smaller images"),
        (90_000_000, "90 MB", "smaller images"),
        (0, "0 MB", "smaller images"),
    ],
)
def test_an_estimate_that_does_not_fit(available: int, free: str, mend: str) -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        ESTIMATE.check(available)
    assert f"batch of 64: training needs 800 MB more, {free} are free: " in str(caught.value)
    assert mend in str(caught.value)


def test_the_text_tells_what_takes_most() -> None:
    assert ESTIMATE.text(2_000_000_000) == (
        "memory: about 850 MB at most (activations 600 MB, images 100 MB, gradients 100 MB, "
        "program and data 50 MB); 2.00 GB free"
    )
    assert ESTIMATE.text(None).endswith("program and data 50 MB)")


LIMITED = """
import os, resource
import numpy as np
from denet.memory import available_bytes
begin = 1_000_000_000 + 200_000_000 * os.cpu_count()
resource.setrlimit(resource.RLIMIT_AS, (begin, begin))
first = available_bytes()
resource.setrlimit(resource.RLIMIT_AS, (begin - 300_000_000, begin))
second = available_bytes()
taken = np.empty(second, np.uint8)
third = available_bytes()
print(first, second, third)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_what_a_limit_of_addresses_leaves() -> None:
    words = [sys.executable, "-c", LIMITED]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second, third = map(int, done.stdout.split())
    assert abs(first - second - 300_000_000) < 2_000_000
    assert 0 < second < 700_000_000 + 200_000_000 * (os.cpu_count() or 1)
    assert third < 2_000_000


ONEDNN = choose_backend().name == "onednn"
CIFAR = "C[128,3] BN A P[2] C[256,3] BN A P[2] C[512,3] BN A P.A R"
# images, network, batch size, further options
TRAININGS = [
    (32, CIFAR, 64, ""),  # activations
    (16, "C[512,3] P[4] C[1024,4] P.A R", 8, "--solver adam --learn-momentum 0.9 0.9"),  # weights
    (64, "C.B[32,3] BN A C.B[32,3] BN A P.A R", 16, "--batch-size-factor 3 --thread-num 2"),
    (64, "C.B[32,3] BN A SPLIT C.B[32,3] BN A SPLIT P.A R", 64, "--distort-mode r10 m50"),
    (32, "C.B[8,3] BN A P.A R", 32, "--backend numpy"),  # the program itself
    pytest.param(
        *(32, CIFAR, 64, "--precision bf16"),
        marks=pytest.mark.skipif(not ONEDNN, reason="no oneDNN"),
    ),
]


# a process inherits the peak of the one that starts it, so a small one must stand in between
MEASURED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory as Linux tells it")
@pytest.mark.parametrize(("size", "network", "batch_size", "more"), TRAININGS)
def test_the_estimate_is_near_the_peak(
    size: int, network: str, batch_size: int, more: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "set_data.npy", rng.integers(0, 256, (64, 3, size, size), np.uint8))
    np.save(tmp_path / "set_labels.npy", np.arange(64, dtype=np.int32) % 10)
    options = "--train set --test set --ext npy --epochs 1 --border-mode half --learn-rate 0.001"
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(ROOT / "bin/model-train"), *options.split()]
        + ["--model-desc", network, "--batch-size", str(batch_size), *more.split()],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key not in CHOICES},
        capture_output=True,
        text=True,
        timeout=120,
    )
    errors = done.stderr
    assert done.returncode == 0, errors
    found = re.search(r"memory: about ([\d.]+) ([MG])B at most", errors)
    assert found, errors
    estimated = float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]]
    peak = 1024 * int(done.stdout.split()[-1])
    assert 0.8 * peak < estimated < 1.2 * peak, errors
