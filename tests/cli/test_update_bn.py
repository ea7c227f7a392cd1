"""model-update-bn as a process."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from denet.model.format import load_model, save_model
from denet.model.model import Model

LABELS = ["cat", "dog"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Lay out six pictures of two classes, and models with and without batch normalisation."""
    rng = np.random.default_rng(1)
    for name in LABELS:
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(3):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{index}.png")
    (tmp_path / "large").mkdir()
    for name in LABELS:
        (tmp_path / "large" / name).mkdir()
        Image.new("RGB", (12, 9)).save(tmp_path / "large" / name / "0.png")
    for name, text in (("norm", "BN RSN.O[4,3] P.A R"), ("plain", "P.A R")):
        save_model(Model.create(text, (3, 8, 8), LABELS), tmp_path / f"{name}.mdl")
    return tmp_path


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_statistics_are_those_of_the_images(
    precision: str, files: Path, command: Command
) -> None:
    line = "--model norm.mdl --output new.mdl --input train --batch-size 6 --precision"
    done = command("model-update-bn", *line.split(), precision)
    assert (done.returncode, done.stdout) == (0, "")
    assert "new.mdl: statistics of 4 batch normalisations over 6 images" in done.stderr
    old, new = (load_model(files / name).values() for name in ("norm.mdl", "new.mdl"))
    pixels = np.stack([np.asarray(Image.open(each)) for each in files.glob("train/*/*.png")])
    pixels = pixels.reshape(-1, 3) / 255
    tolerance = 1e-5 if precision == "f32" else 4e-3
    np.testing.assert_allclose(new["1.batchnorm.mean"], pixels.mean(0), tolerance)
    np.testing.assert_allclose(new["1.batchnorm.variance"], pixels.var(0, ddof=1), 4 * tolerance)
    for path, value in new.items():
        is_statistic = path.endswith(("mean", "variance"))
        assert (value != old[path]).any() == is_statistic, path


def test_all_or_some_images_and_files_of_2017(files: Path, command: Command) -> None:
    line = "--model norm.mdl --output new.mdl.gz --input train --max-samples 4"
    done = command("model-update-bn", *line.split())
    assert done.returncode == 0 and "over 4 images" in done.stderr
    assert load_model(files / "new.mdl.gz").text() == "BN RSN.O[4,3] P.A R"


CASES = [
    ("--model norm.mdl --input train", 2, "--output is missing"),
    ("--model norm.mdl --output new.mdl", 2, "--input is missing"),
    ("--model plain.mdl --output new.mdl --input nowhere", 2, "no batch normalisation"),
    ("--model norm.mdl --output new.txt --input train", 2, "new.txt"),
    ("--model norm.mdl --output new.mdl --input train --extension jpg", 3, "train"),
    ("--model norm.mdl --output new.mdl --input train --extension png,crop=4", 3, "crop=8x8"),
    ("--model norm.mdl --output new.mdl --input large", 3, "give --extension png,crop=8x8"),
]


@pytest.mark.parametrize(("line", "code", "words"), CASES, ids=[line for line, _, _ in CASES])
def test_error(line: str, code: int, words: str, files: Path, command: Command) -> None:
    done = command("model-update-bn", *line.split())
    (error,) = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert done.returncode == code and words in error
    assert not list(files.glob("new*"))
