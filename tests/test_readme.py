"""The README and its pages: commands run as they stand, links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_voc
from cli.commands import COMMANDS, parser
from PIL import Image

from denet.report.layer_guide import guide_markdown

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[list[str]]:
    """Return the words of every model-* command of a page that is no outline (...)."""
    lines = re.findall(r"^ +(?:\$ )?(model-(?:'[^']*'|\\\n|[^\n'])*)", text(page), re.MULTILINE)
    found = [shlex.split(line.replace("\\\n", " "), comments=True) for line in lines]
    return [words for words in found if not any("..." in word for word in words)]


def test_the_page_of_layers_is_the_programs_own():
    """Made by: model-info --layers --markdown > docs/layers.md"""
    assert text("docs/layers.md") == guide_markdown() + "\n"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_file_or_a_heading(page):
    headings = re.findall(r"^##* (.*)$", text(page), re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    targets = re.findall(r"\]\(((?!https?:)[^)]+)\)", text(page))
    assert {each for each in targets if each.startswith("#")} <= anchors
    files = [(ROOT / page).parent / each for each in targets if not each.startswith("#")]
    assert [str(file) for file in files if not file.exists()] == []


def test_the_readme_leads_to_every_page():
    assert [page for page in PAGES[1:] if f"({page})" not in text("README.md")] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page):
    for name, *words in commands(page):
        assert name in COMMANDS
        parser(name).parse(words)


def run(commands: list[list[str]], directory: Path) -> None:
    for words in commands:
        program = [sys.executable, str(ROOT / "bin" / words[0])]
        environment = {key: value for key, value in os.environ.items() if key != "GPU"}
        done = subprocess.run(
            [*program, *words[1:]], cwd=directory, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stderr)


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
    tour = commands("docs/tour.md")
    assert {words[0] for words in tour} == {
        *("model-info", "model-train", "model-predict", "model-modify", "model-bench")
    }
    run(tour, directory)


@pytest.fixture
def photos(tmp_path):
    """Two classes of photos of several sizes, and what the pages take for given."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog") * 3):
            pixels = rng.integers(0, 256, (70 + number, 90, 3), np.uint8)
            path = tmp_path / "photos" / split / name / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    save_image(tmp_path / "some" / "photo.jpg")
    return tmp_path


@pytest.mark.slow
def test_the_readme_runs_as_it_stands(photos):
    """All but the service, which goes on: see tests/serve."""
    lines = commands("README.md")
    assert [words[0] for words in lines] == [
        *("model-info", "model-train", "model-predict", "model-predict", "model-report"),
        *("model-modify", "model-serve"),
    ]
    run(lines[:-1], photos)


@pytest.mark.slow
def test_the_page_of_data_runs_as_it_stands(photos):
    data = ["--train", "photos/train", "--extension", "jpg,crop=64", "--seed", "1"]
    other = ["--model-desc", "C[4,3] A P.A R", "--output-prefix", "other"]
    parts = ["--model-desc", "C[4,3,8] A R[1]", "--output-prefix", "run/parts"]
    rest = ["--epochs", "1", "--test", "photos/test"]
    run([["model-train", *data, *kind, *rest] for kind in (other, parts)], photos)
    (photos / "other_best.mdl").rename(photos / "other.mdl")
    lines = commands("docs/data.md")
    tuned = lines[3]
    assert tuned[-1] == "run/tuned"
    lines[3] = ["jpg,crop=64" if word == "jpg" else word for word in tuned]  # photos of one size
    run(lines, photos)


@pytest.mark.slow
def test_objects_are_found_as_it_stands(tmp_path):
    """All epochs, on one photo."""
    photo = voc_xml(object_xml("RBC", (40, 20, 90, 80)), object_xml("WBC"), size=(160, 120))
    for split in ("trainval", "test"):
        write_voc(tmp_path / "BCCD", {split: photo}, split, (160, 120))
    save_image(tmp_path / "some" / "photo.jpg")
    objects = commands("docs/detection.md")
    assert [words[0] for words in objects] == ["model-train", *["model-predict"] * 4]
    run(objects, tmp_path)
    assert (tmp_path / "photo.png").is_file()
    assert (tmp_path / "more/Annotations/photo.xml").is_file()


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
