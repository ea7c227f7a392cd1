"""--val-split from the shell: what is held out chooses the model, --test is tested at the end."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from cli.shell import tree
from conftest import Command
from PIL import Image

TRAIN = (
    "model-train --backend numpy --train train --extension png --model-desc C[4,3] A P.A R "
    "--batch-size 4 --epochs 3 --learn-rate 0.5 --val-split 0.25 --output-prefix"
)


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Write 16 red and green pictures to train on and 6 to test on, below the directory."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        for channel, name in enumerate(("green", "red")):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 150, (6, 6, 3), np.uint8)
                pixels[..., 1 - channel] += 60
                Image.fromarray(pixels).save(tmp_path / f"{split}/{name}/{number}.png")
    return tmp_path


def errors(directory: Path, prefix: str) -> list[float]:
    with (directory / f"{prefix}_metrics.csv").open() as file:
        return [float(row["test_error"]) for row in csv.DictReader(file)]


def test_the_test_set_is_tested_once_at_the_end(sets: Path, command: Command) -> None:
    done = command(*TRAIN.split(), "run/m", "--test", "test")
    assert done.returncode == 0, done.stderr
    assert "held out of training, to test on: 4 images" in done.stderr
    assert "parameters on 12 images" in done.stderr
    held_out = errors(sets, "run/m")
    assert all(error % 25 == 0 for error in held_out)  # of 4 images
    lines = [line for line in done.stderr.splitlines() if line.startswith("--test, which no")]
    assert [line.split(": ")[1] for line in lines] == ["last model", "best model"]
    for ending, line in (("epoch003_final", lines[0]), ("best", lines[1])):
        words = "model-predict --backend numpy --input test --extension png --model"
        told = command(*words.split(), f"run/m_{ending}.mdl").stdout
        top1 = float(told.split("top-1 error ")[1].split("%")[0])
        assert line.endswith(f": error {top1:.2f}%")
        report = (sets / f"run/m_{ending}.test").read_text()
        assert report.startswith(f"Overall Error={top1:.2f}%\n")
    again = command(*TRAIN.split(), "run/m", "--test", "test")
    assert again.returncode == 2 and "--overwrite" in again.stderr
    over = command(*TRAIN.split(), "run/m", "--overwrite")
    assert over.returncode == 0 and not list(sets.glob("run/m_*final.test"))


def test_a_run_without_a_test_set_has_a_best_model(sets: Path, command: Command) -> None:
    done = command(*TRAIN.split(), "run/m")
    assert done.returncode == 0 and "--test, which" not in done.stderr
    assert (sets / "run/m_best.mdl").exists() and not (sets / "run/m_best.test").exists()
    last = "models: m_epoch003_final.mdl, the last"
    assert f"{last}; m_best.mdl, of the lowest test error\n" in done.stderr
    alone = command(*TRAIN.replace("--val-split 0.25", "").split(), "run/alone", "--epochs", "1")
    assert "models: alone_epoch001_final.mdl, the last\n" in alone.stderr


def test_resumed_it_holds_out_the_same(sets: Path, command: Command) -> None:
    assert command(*TRAIN.split(), "one/m", "--test", "test").returncode == 0
    assert command(*TRAIN.split(), "two/m", "--test", "test", "--epochs", "2").returncode == 0
    resume = "model-train --backend numpy --resume --epochs 3 --output-prefix two/m"
    done = command(*resume.split())
    assert done.returncode == 0 and "has changed" not in done.stderr
    assert errors(sets, "one/m") == errors(sets, "two/m")
    for name in ("m_epoch003_final.mdl", "m_epoch003_final.test", "m_best.test"):
        assert (sets / "one" / name).read_bytes() == (sets / "two" / name).read_bytes(), name
    other = command(*resume.split(), "--val-split", "0.5")
    assert other.returncode == 2 and "val-split: 0.5 but the run began with 0.25" in other.stderr


@pytest.mark.parametrize("share", ["0.02", "0.99", "1", "-0.1", "nan", "some"])
def test_a_share_that_cannot_be(share: str, sets: Path, command: Command) -> None:
    before = tree(sets)
    done = command(*TRAIN.split(), "run/m", "--val-split", share)
    assert done.returncode == 2 and "val-split" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2 and tree(sets) == before


def test_a_dry_run_tests_on_what_is_held_out(sets: Path, command: Command) -> None:
    done = command(*TRAIN.split(), "run/m", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry run: 2 steps, a test and a save went well" in done.stderr
    assert not (sets / "run").exists()
