"""--normalise mean-image: trained, told, resumed and predicted with."""

from pathlib import Path

import numpy as np
import pytest
from cli.commands import parser
from conftest import Command
from PIL import Image

from denet.cli.train_input import model_and_training_set
from denet.errors import UsageError
from denet.model.format import load_model
from denet.model.preprocessing import Preprocessing

TRAIN = [
    *("model-train", "--backend", "numpy", "--precision", "f32", "--train", "train"),
    *("--extension", "imagenet,scale=10,crop=8", "--normalise", "mean-image"),
    *("--model-desc", "R.T", "--learn-rate", "0.01", "--batch-size", "3", "--quiet"),
]


def test_resume_ends_with_the_same_bytes(
    tmp_path: Path, images: np.ndarray, command: Command
) -> None:
    for words in (
        ["--epochs", "2", "--output-prefix", "whole/m"],
        ["--epochs", "1", "--output-prefix", "parts/m"],
        ["--epochs", "2", "--output-prefix", "parts/m", "--resume"],
    ):
        done = command(*TRAIN, *words)
        assert done.returncode == 0, done.stderr
    name = "m_epoch002_final.mdl"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    own = load_model(tmp_path / "whole" / name).preprocessing
    expected = np.concatenate([images, images[:, :, ::-1]]).mean(axis=0)
    np.testing.assert_allclose(own.mean_image, expected, atol=1e-6)
    told = command("model-info", "--model", f"whole/{name}").stdout
    assert "normalised by a mean image of 10x10 (its mean 0." in told


def test_prediction_takes_the_centre_window(
    tmp_path: Path, images: np.ndarray, command: Command
) -> None:
    assert command(*TRAIN, "--output-prefix", "m", "--epochs", "1").returncode == 0
    model = load_model(tmp_path / "m_epoch001_final.mdl")
    own, weight = model.preprocessing, model.parameters[0]["weight"]
    less = (images[0, 1:9, 1:9] - own.mean_image[1:9, 1:9]) / own.std
    logits = (weight * less.transpose(2, 0, 1)).sum(axis=(1, 2, 3))
    Image.fromarray((images[0, 1:9, 1:9] * 255).round().astype(np.uint8)).save(tmp_path / "x.png")
    words = ("--input", "x.png", "--format", "csv", "--precision", "f32")
    done = command("model-predict", "--model", "m_epoch001_final.mdl", *words)
    best = float(done.stdout.splitlines()[1].split(",")[3])
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert best == pytest.approx(probabilities.max(), abs=1e-4)


def test_new_sizes_and_other_models(tmp_path: Path, images: np.ndarray, command: Command) -> None:
    assert command(*TRAIN, "--output-prefix", "m", "--epochs", "1").returncode == 0
    model = "m_epoch001_final.mdl"
    words = ("--input", model, "--output", "b.mdl", "--image-size", "16", "8")
    assert command("model-modify", *words).returncode == 0
    assert load_model(tmp_path / "b.mdl").preprocessing.mean_image.shape == (10, 20, 3)
    line = ["--train", str(tmp_path / "train"), "--quiet", "--extension", "imagenet,crop=16"]
    given = ["--model", str(tmp_path / model), "--init-partial", "--model-desc", "R"]
    found, _ = model_and_training_set(parser("model-train").parse([*line, *given]), None)
    assert found.preprocessing.mean_image.shape == (20, 20, 3)
    words = ("--input", model, "--output", "c.mdl", "--normalise", "none")
    assert command("model-modify", *words).returncode == 0
    assert load_model(tmp_path / "c.mdl").preprocessing == Preprocessing()


def test_not_together_with_subtract_mean(tmp_path: Path, images: np.ndarray) -> None:
    line = ["--train", str(tmp_path / "train"), "--extension", "imagenet,crop=8,subtract_mean"]
    given = parser("model-train").parse([*line, "--normalise", "mean-image"])
    with pytest.raises(UsageError, match="--normalise mean-image: together with subtract_mean"):
        model_and_training_set(given, None)
