"""What a training is said to need is what it takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOICES, ROOT

from denet.backend.numpy.backend import NumpyBackend
from denet.backend.select import choose_backend
from denet.dataset.classes.array import ArrayDataset
from denet.dataset.loader import Loader
from denet.graph.recompute import Saving
from denet.memory import Estimate
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing
from denet.training import tester as testing
from denet.training.learner import Learner
from denet.training.memory import estimate
from denet.training.settings import TrainSettings

ONEDNN = choose_backend().name == "onednn"
CIFAR = "C[128,3] BN A P[2] C[256,3] BN A P[2] C[512,3] BN A P.A R"
DENSE = "C.B[24,3] nDL[4,12] TR nDL[4,12] BN A P.A R"
# images, network, batch size, further options
TRAININGS = [
    (32, CIFAR, 64, ""),  # activations
    (16, "C[512,3] P[4] C[1024,4] P.A R", 8, "--solver adam --learn-momentum 0.9 0.9"),  # weights
    (16, "C[512,3] P[4] C[1024,4] P.A R", 8, "--average ema --learn-momentum 0.9"),
    (64, "C.B[32,3] BN A C.B[32,3] BN A P.A R", 16, "--batch-size-factor 3 --thread-num 2"),
    (64, "C.B[32,3] BN A SPLIT C.B[32,3] BN A SPLIT P.A R", 64, "--distort-mode r10 m50"),
    (32, DENSE, 64, "--memory-limit 350MB"),
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


def limited(directory: Path, limit: str) -> subprocess.CompletedProcess[str]:
    """Train a dense network on 64 images, with --memory-limit where it is given."""
    prefix = f"{limit or 'free'}/m"
    options = "--train set --ext npy --epochs 1 --border-mode half --batch-size 64 --backend numpy"
    more = ["--memory-limit", limit] if limit else []
    return subprocess.run(
        [sys.executable, str(ROOT / "bin/model-train"), *options.split(), *more]
        + ["--model-desc", DENSE, "--output-prefix", prefix],
        cwd=directory,
        capture_output=True,
        text=True,
    )


def test_a_memory_limit_changes_what_is_kept_and_no_bit_of_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "set_data.npy", rng.integers(0, 256, (64, 3, 16, 16), np.uint8))
    np.save(tmp_path / "set_labels.npy", np.arange(64, dtype=np.int32) % 10)
    free = limited(tmp_path, "")
    needed = int(re.search(r"memory: about (\d+) MB", free.stderr)[1])  # type: ignore[index]
    limit = f"{needed - 15}MB"
    done = limited(tmp_path, limit)
    chosen = re.search(r"memory limit .*: --recompute (\w+)", done.stderr)
    assert chosen and chosen[1] in ("cheap", "half"), done.stderr
    assert int(re.search(r"memory: about (\d+) MB", done.stderr)[1]) <= needed - 15  # type: ignore[index]
    models = [tmp_path / name / "m_epoch001_final.mdl" for name in ("free", limit)]
    assert models[0].read_bytes() == models[1].read_bytes()
    short = limited(tmp_path, "20MB")
    assert short.returncode == 5 and "error: --memory-limit: 20 MB: training needs" in short.stderr
    alone = re.search(r"at least, .*: (\d+) MB of that are taken by any batch", short.stderr)
    assert alone and 20 < int(alone[1]) < needed, short.stderr
    near = limited(tmp_path, f"{int(alone[1]) + 1}MB")
    assert "or a higher limit" in near.stderr and "SPLIT" not in near.stderr


def test_the_kernels_of_a_shorter_last_batch_are_counted() -> None:
    """Of training and test: 20 images are two batches of 8 and one of 4."""
    dataset = ArrayDataset(
        [*"abcd"], np.arange(20) % 4, np.zeros((20, 3, 8, 8), np.uint8), np.arange(20)
    )
    model = Model.create("C.B[4,3] BN A P.A R", dataset.shape, dataset.class_labels)
    counted = []
    for batch_size in (10, 8):
        settings = TrainSettings(batch_size=batch_size)
        learner = Learner(model, batch_size, settings, NumpyBackend(), "f32", Saving("none"))
        tester = testing.Tester(model, dataset, settings, NumpyBackend())
        loader = Loader(dataset, batch_size, Preprocessing(), training=True)
        counted.append(
            [estimate(learner, loader, each).fixed["shorter batches"] for each in (None, tester)]
        )
    (none, still_none), (trained, both) = counted
    assert none == still_none == 0 and 0 < trained < both


def test_a_limit_that_is_too_low_names_the_same_step_in_smaller_batches() -> None:
    limit, held = 10_000_000, 4_000_000
    growing = {"activations": 18_000_000}  # of 32 images: 6 MB are left for them, a third
    needed = Estimate("training", 32, growing, {"rest": 0}, held, factor=3)
    assert needed.mend(limit - held) == "try --batch-size 8 --batch-size-factor 12"
