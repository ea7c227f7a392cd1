"""Commands that compute ask for free memory first; the batch size that they name then fits."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CHOICES, ROOT
from PIL import Image

from denet.memory import THREAD_BYTES
from denet.model.format import save_model
from denet.model.model import Model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is of Linux")

# addresses: those kept for threads, those of the program, and some for its work
LIMIT = THREAD_BYTES * (2 + (os.cpu_count() or 1)) + 1_100_000_000
NETWORKS = {
    "class": "C[64,1] BN A P.A R",
    "map": "C[64,1] BN A P[8] R[1]",
    "objects": "C[64,1] A P[8] SKIPSRC C[4,3] DNC DNS[2] DND",
}
COMMANDS = {
    "single": "model-predict --model class.mdl --input set --extension npy",
    "multicrop": "model-predict --model class.mdl --input images --predict-mode multicrop",
    "segment": "model-predict --model map.mdl --input set --extension npy --predict-mode segment",
    "detect": "model-predict --model objects.mdl --input images --predict-mode detect",
    "update-bn": "model-update-bn --model class.mdl --output new.mdl --input set --extension npy",
    "predict": "model-bench --model class.mdl --mode predict --steps 1",
    "train": "model-bench --model class.mdl --mode train --steps 1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold three models for images of 192x192, and 128 images as an array and as files."""
    root = tmp_path_factory.mktemp("memory")
    for name, network in NETWORKS.items():
        save_model(Model.create(network, (3, 192, 192), ["0", "1"]), root / f"{name}.mdl")
    np.save(root / "set_data.npy", np.zeros((128, 3, 192, 192), np.uint8))
    np.save(root / "set_labels.npy", np.arange(128) % 2)
    (root / "images").mkdir()
    for number in range(128):
        Image.new("RGB", (24, 24)).save(root / f"images/{number}.png")
    return root


def run(folder: Path, command: str, batch_size: int) -> subprocess.CompletedProcess[str]:
    name, *words = command.split()
    words += ["--batch-size", str(batch_size), "--precision", "f32"]  # auto may take half of it
    line = [sys.executable, str(ROOT / "bin" / name), *words]
    kept = {key: value for key, value in os.environ.items() if key not in CHOICES}
    return subprocess.run(
        ["bash", "-c", f'ulimit -v {LIMIT // 1024}; exec "$@"', "bash", *line],
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_batch_that_is_too_large(folder: Path, name: str) -> None:
    done = run(folder, COMMANDS[name], 128)
    *_, last = done.stderr.splitlines()
    assert done.returncode == 5, done.stderr
    found = re.fullmatch(
        r"error: batch of 128: [a-z ]+ needs [\d.]+ [MG]B more memory, [\d.]+ [MG]B are free: "
        r"try --batch-size (\d+); the limit on addresses .*",
        last,
    )
    assert found, last
    done = run(folder, COMMANDS[name], int(found[1]))
    assert done.returncode == 0, done.stderr


NEEDED = r"\d+x219 pixels: [\d.]+ GB of memory needed, .* free: scale images to a smaller"
LONG = {
    ("ccv10", 500): NEEDED,
    ("dense", 500): NEEDED,
    # where oneDNN is at work: its own limit
    ("dense", 1000): f"1.conv.conv: a map of one image, 219x54750x64 numbers, takes 3.|{NEEDED}",
}


@pytest.mark.parametrize(("views", "length"), LONG)
def test_an_image_that_is_too_long_is_left_out(folder: Path, views: str, length: int) -> None:
    names = [f"long/{number}.png" for number in range(4)]
    (folder / "long").mkdir(exist_ok=True)
    for name, width in zip(names, (4, length, 12, 4), strict=True):  # the shorter side becomes 219
        Image.new("RGB", (width, 4)).save(folder / name)
    command = f"model-predict --model class.mdl --input long --views {views} --on-bad-data skip"
    done = run(folder, command, 1)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == names[:1] + names[2:]
    why = f"cannot read the image: {names[1]}: ({LONG[views, length]})"
    assert re.search(why, done.stderr), done.stderr
