"""color_components=data: trained with, kept by --resume, told where it has no effect."""

from pathlib import Path

import numpy as np
from conftest import Command

from denet.training.state import read_state

OWN = "imagenet,scale=10,crop=8,augment_color=0.5,color_components=data"
IMAGENET = OWN.replace("=data", "=imagenet")
TRAIN = [
    *("model-train", "--backend", "numpy", "--precision", "f32", "--train", "train"),
    *("--model-desc", "R.T", "--learn-rate", "0.01", "--batch-size", "3"),
]


def test_resume_ends_with_the_same_bytes(
    tmp_path: Path, images: np.ndarray, command: Command
) -> None:
    """Mean image and the components come from one pass over the pictures."""
    train = [*TRAIN, "--normalise", "mean-image"]
    for words in (
        ["--epochs", "2", "--output-prefix", "whole/m", "--extension", OWN],
        ["--epochs", "1", "--output-prefix", "parts/m", "--extension", OWN],
        ["--epochs", "2", "--output-prefix", "parts/m", "--resume", "--thread-num", "3"],
        [
            "--epochs",
            "2",
            "--output-prefix",
            "other/m",
            "--extension",
            IMAGENET,
        ],
    ):
        done = command(*train, *words)
        assert done.returncode == 0, done.stderr
    whole, parts, other = (
        (tmp_path / name / "m_epoch002_final.mdl").read_bytes()
        for name in ("whole", "parts", "other")
    )
    assert whole == parts != other
    values, vectors = read_state(tmp_path / "parts/m.state").components
    expected = np.cov(images.reshape(-1, 3).T, bias=True)
    np.testing.assert_allclose(vectors * values @ vectors.T, expected, atol=1e-15)
    assert read_state(tmp_path / "other/m.state").components is None


def test_they_outlast_a_photo(tmp_path: Path, images: np.ndarray, command: Command) -> None:
    train = [*TRAIN, "--output-prefix", "m", "--on-bad-data", "skip"]
    assert command(*train, "--extension", OWN, "--epochs", "1").returncode == 0
    before = read_state(tmp_path / "m.state").components
    file = tmp_path / "train" / "a" / "0.png"
    file.write_bytes(file.read_bytes()[:-60])
    done = command(*train, "--resume", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    after = read_state(tmp_path / "m.state")
    assert after.position.epoch == 1
    assert [part.tobytes() for part in after.components] == [part.tobytes() for part in before]


def test_a_run_takes_them_up(tmp_path: Path, images: np.ndarray, command: Command) -> None:
    train = [*TRAIN, "--output-prefix", "m"]
    plain = ["--extension", "imagenet,scale=10,crop=8", "--epochs", "1"]
    assert command(*train, *plain).returncode == 0
    done = command(*train, "--extension", OWN, "--resume", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert read_state(tmp_path / "m.state").components
    assert "principal components of its colours: eigenvalues 0.0" in done.stderr


def test_they_are_of_training_alone(tmp_path: Path, images: np.ndarray, command: Command) -> None:
    words = ["--test", "train", "--test-extension", OWN, "--extension", OWN, "--dry-run"]
    done = command(*TRAIN, *words)
    assert done.returncode == 0, done.stderr
    assert "augment_color, color_components of --test-extension: no effect" in done.stderr
