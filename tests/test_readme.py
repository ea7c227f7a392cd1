"""The README: its commands run as they stand and its links lead somewhere; so do its pages."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_voc
from PIL import Image

from denet.report.layer_guide import guide_markdown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def commands(section: str) -> list[list[str]]:
    """Return the words of every model-* command in a section of the README."""
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^ +(?:\$ )?(model-(?:'[^']*'|\\\n|[^\n])*)", text, re.MULTILINE)
    return [shlex.split(line.replace("\\\n", " ")) for line in lines]


def test_the_page_of_layers_is_the_programs_own():
    """Made by: model-info --layers --markdown > docs/layers.md"""
    assert (ROOT / "docs" / "layers.md").read_text(encoding="utf-8") == guide_markdown() + "\n"


def test_links_lead_to_a_file_or_a_heading():
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    targets = re.findall(r"\]\(((?!https?:)[^)]+)\)", README)
    assert {each for each in targets if each.startswith("#")} == anchors
    assert all((ROOT / each).exists() for each in targets if not each.startswith("#"))


@pytest.fixture
def directory(tmp_path):
    """A directory with 40 pictures named like CIFAR-10's."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in CLASSES:
            folder = tmp_path / "CIFAR10" / split / name
            folder.mkdir(parents=True)
            for index in ("0000", "0001"):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return tmp_path


@pytest.mark.slow
def test_the_tour_runs_as_it_stands(directory):
    tour = commands("A tour on CIFAR-10")
    assert {words[0] for words in tour} == {
        *("model-info", "model-train", "model-predict", "model-modify", "model-bench")
    }
    run(tour, directory)


@pytest.mark.slow
def test_objects_are_found_as_it_stands(tmp_path):
    """All 200 epochs, on one photo."""
    photo = voc_xml(object_xml("RBC", (40, 20, 90, 80)), object_xml("WBC"), size=(160, 120))
    for split in ("trainval", "test"):
        write_voc(tmp_path / "BCCD", {split: photo}, split, (160, 120))
    save_image(tmp_path / "some" / "photo.jpg")
    objects = commands("Objects in images")
    assert [words[0] for words in objects] == ["model-train", *["model-predict"] * 3]
    run(objects, tmp_path)
    assert (tmp_path / "photo.png").is_file()
    assert (tmp_path / "more/Annotations/photo.xml").is_file()


def run(commands: list[list[str]], directory: Path) -> None:
    for words in commands:
        program = [sys.executable, str(ROOT / "bin" / words[0])]
        environment = {key: value for key, value in os.environ.items() if key != "GPU"}
        done = subprocess.run(
            [*program, *words[1:]], cwd=directory, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stderr)


@pytest.mark.slow
def test_the_example_of_2017_trains(directory):
    script = ["bash", str(ROOT / "examples" / "simple-cifar10.sh"), "CIFAR10", "out"]
    more = ["--extension", "jpg", "--epochs", "1"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # bin/ asks for python3
    environment = {"PATH": path}
    done = subprocess.run(
        [*script, *more], cwd=directory, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (directory / "out" / "simple_epoch001_final.mdl").is_file()
