"""The pixels that a network sees: subtract_mean as in 2017, and model-modify --normalise."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from annotated_files import save_image
from cli.commands import parser
from conftest import Command
from PIL import Image

from denet.cli.pixels import read_normalise, subtract_mean
from denet.cli.train_input import model_and_training_set
from denet.errors import UsageError
from denet.model.format import load_model, save_model
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
SUBTRACTED = "imagenet,crop=8,subtract_mean"
COLOUR = (200, 100, 30)


def model_of_2017(*statistics: tuple[float, ...]) -> Model:
    """Return a model that takes pixels as they are, unless statistics are given."""
    labels, own = ["a", "b"], Preprocessing(*statistics)
    model = Model.create("P.A R", (3, 8, 8), labels, preprocessing=own)
    rng = np.random.default_rng(3)
    model.parameters[1]["weight"] = rng.normal(0, 1, (2, 3, 1, 1)).astype(np.float32)
    return model


def expected(path: Path, model: Model, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0)):
    """Return the probabilities of the classes for an image of one colour."""
    with Image.open(path) as image:
        pixel = (np.array(image.getpixel((0, 0))) / 255 - mean) / deviation
    logits = model.parameters[1]["weight"][:, :, 0, 0] @ pixel
    return np.exp(logits) / np.exp(logits).sum()


def predicted(command: Command, model: str, *words: str) -> np.ndarray:
    given = ("--model", model, "--precision", "f32", *words)
    done = command("model-predict", *given, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = {each["class"]: each["probability"] for each in json.loads(line)["classes"]}
    return np.array([found["a"], found["b"]])


def test_a_model_of_2017_predicts_as_it_was_trained(tmp_path: Path, command: Command) -> None:
    """By the option of the dataset, or once and for all."""
    model = model_of_2017()
    save_model(model, tmp_path / "a.mdl.gz")
    path = tmp_path / "set" / "a" / "1.JPEG"
    save_image(path, (8, 8), COLOUR)
    image = ("--input", "set/a/1.JPEG")
    plain = predicted(command, "a.mdl.gz", *image)
    np.testing.assert_allclose(plain, expected(path, model), atol=1e-5)
    dataset = ("--input", "set", "--extension", SUBTRACTED)
    truth = expected(path, model, MEAN, DEVIATION)
    np.testing.assert_allclose(predicted(command, "a.mdl.gz", *dataset), truth, atol=1e-5)
    words = ("--input", "a.mdl.gz", "--output", "b.mdl", "--normalise", "imagenet")
    assert command("model-modify", *words).returncode == 0
    np.testing.assert_allclose(predicted(command, "b.mdl", *image), truth, atol=1e-5)
    shown = command("model-info", "--model", "b.mdl").stdout
    assert "mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225" in shown
    assert "normalised" not in command("model-info", "--model", "a.mdl.gz").stdout


def test_a_model_keeps_its_own_normalisation_and_tells(caplog) -> None:
    model = model_of_2017((0.5,) * 3, (0.25,) * 3)
    own = model.preprocessing
    subtract_mean(model, SUBTRACTED)
    assert model.preprocessing == own
    (message,) = caplog.messages
    assert "mean 0.5 0.5 0.5" in message and "model-modify --normalise" in message


@pytest.mark.parametrize("extension", [None, "png", "voc,train", "voc,train,subtract_mean=0"])
def test_nothing_changes_where_it_is_not_asked_for(caplog, extension: str | None) -> None:
    model = model_of_2017()
    subtract_mean(model, extension)
    assert model.preprocessing == Preprocessing() and not caplog.messages


def test_what_agrees_is_not_told(caplog) -> None:
    subtract_mean(model_of_2017(MEAN, DEVIATION), SUBTRACTED, settled=True)
    assert not caplog.messages


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder in the layout of ImageNet with two classes."""
    for name in ("a", "b"):
        save_image(tmp_path / "train" / name / "1.JPEG", (8, 8), COLOUR)
    return tmp_path


def options(folder: Path, *words: str):
    line = ["--train", str(folder / "train"), "--quiet", "--extension", SUBTRACTED, *words]
    return parser("model-train").parse(line)


@pytest.mark.parametrize("more", [(), ("--init-partial",), ("--init-partial", "--model-desc", "R")])
def test_training_goes_on_with_what_2017_subtracted(images: Path, more: tuple[str, ...]) -> None:
    save_model(model_of_2017(), images / "a.mdl.gz")
    given = options(images, "--model", str(images / "a.mdl.gz"), *more)
    model, _ = model_and_training_set(given, None)
    assert model.preprocessing == Preprocessing(MEAN, DEVIATION)


def test_new_networks_are_normalised_as_it_says(images: Path) -> None:
    model, _ = model_and_training_set(options(images, "--model-desc", "R"), None)
    assert model.preprocessing == Preprocessing(MEAN, DEVIATION)
    with pytest.raises(UsageError, match=r"--normalise none: together with subtract_mean"):
        model_and_training_set(options(images, "--normalise", "none"), None)


def test_dataset_is_measured_where_it_is_typed(images: Path) -> None:
    """Also where those of ImageNet are usual; it was passed over without a word."""
    words = ("--model-desc", "R", "--extension", "imagenet,crop=8")
    usual, _ = model_and_training_set(options(images, *words), None)
    assert usual.preprocessing == Preprocessing(MEAN, DEVIATION)
    own, _ = model_and_training_set(options(images, *words, "--normalise", "dataset"), None)
    np.testing.assert_allclose(own.preprocessing.mean, np.array(COLOUR) / 255, atol=2 / 255)


def test_normalise_of_training_does_not_change_a_model(images: Path, caplog) -> None:
    save_model(model_of_2017(MEAN, DEVIATION), images / "a.mdl")
    given = options(images, "--model", str(images / "a.mdl"), "--normalise", "none")
    model, _ = model_and_training_set(given, None)
    assert model.preprocessing == Preprocessing(MEAN, DEVIATION)
    assert any("--normalise none is not used" in message for message in caplog.messages)


CHANNELS = 3
READ = {
    "none": Preprocessing(),
    "imagenet": Preprocessing(MEAN, DEVIATION),
    "0.5 0.25": Preprocessing((0.5,) * 3, (0.25,) * 3),
    "-1 0 1 1e-3 2 3": Preprocessing((-1, 0, 1), (0.001, 2, 3)),
}


@pytest.mark.parametrize("words", READ)
def test_normalise(words: str) -> None:
    assert read_normalise(words.split(), CHANNELS) == READ[words]


WRONG = {
    "": "one mean and one deviation, or 3 means and 3 deviations",
    "0.5": "one mean and one deviation",
    "1 2 3 4": "one mean and one deviation",
    "none none": "got 'none'",
    "0.5 0": "above|at least",
    "0.5 -1": "at least",
    "0.5 nan": "got 'nan'",
    "inf 1": "got 'inf'",
    "imagnet": "give none, imagenet",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words_of_normalise(words: str) -> None:
    with pytest.raises(UsageError, match=f"^--normalise.*({WRONG[words]})"):
        read_normalise(words.split(), CHANNELS)


def test_normalise_of_one_channel() -> None:
    assert read_normalise(["0.1", "0.3"], 1) == Preprocessing((0.1,), (0.3,))
    with pytest.raises(UsageError, match="one value per channel"):
        Preprocessing(MEAN, DEVIATION).check((1, 8, 8))


def test_the_format_of_2017_cannot_keep_it(tmp_path: Path, command: Command) -> None:
    save_model(model_of_2017(), tmp_path / "a.mdl.gz")
    words = ("--input", "a.mdl.gz", "--output", "b.mdl.gz", "--normalise", "0.5", "0.25")
    done = command("model-modify", *words)
    assert done.returncode == 0
    assert "warning: b.mdl.gz: the program of 2017 does not normalise pixels by" in done.stderr
    model = load_model(tmp_path / "b.mdl.gz")  # our part of the file keeps it
    assert model.preprocessing == Preprocessing((0.5,) * 3, (0.25,) * 3)


def test_the_test_set_does_not_decide(images: Path, caplog) -> None:
    caplog.set_level(logging.WARNING)
    model = model_of_2017()
    subtract_mean(model, SUBTRACTED, settled=True)
    assert model.preprocessing == Preprocessing()
    assert "no effect" in caplog.messages[0]
