"""The detection example: its pictures show what their annotations say, and its script runs."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from model.files_of_torch import told, write_zip
from model.test_weights_networks import resnet
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FILTER = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 has it
BCCD = ROOT.parent / "shared" / "data" / "BCCD.tar"


@pytest.fixture
def objects(monkeypatch):
    """The module examples/make_objects.py, with a few pictures to draw."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    module = importlib.import_module("make_objects")
    monkeypatch.setattr(module, "COUNTS", {"train": 12, "test": 8})
    return module


def annotated(directory: Path) -> list[tuple[str, list[tuple[str, list[int]]]]]:
    """Return the id of each picture with (kind, [xmin, ymin, xmax, ymax]) of its objects."""
    pictures = []
    for file in sorted((directory / "Annotations").iterdir()):
        root = ElementTree.parse(file).getroot()
        boxes = [
            (
                str(each.findtext("name")),
                [int(side.text or "") for side in each.iterfind("bndbox/*")],
            )
            for each in root.iterfind("object")
        ]
        pictures.append((file.stem, boxes))
    return pictures


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


def test_the_set_is_complete_and_always_the_same(objects, tmp_path):
    for name in ("one", "two"):
        objects.main(str(tmp_path / name))
    assert files(tmp_path / "one") == files(tmp_path / "two")
    listed = [
        (tmp_path / "one" / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
        for split in ("train", "test")
    ]
    assert [len(ids) for ids in listed] == [12, 8]
    pictures = dict(annotated(tmp_path / "one"))
    assert set(pictures) == {*listed[0], *listed[1]}
    for name, boxes in pictures.items():
        assert 1 <= len(boxes) <= objects.MOST
        with Image.open(tmp_path / "one" / "JPEGImages" / f"{name}.jpg") as picture:
            assert picture.size == (objects.SIZE, objects.SIZE)


def test_a_box_has_its_first_and_last_pixel_on_the_object(objects, monkeypatch, tmp_path):
    large = objects.SIZE * objects.SUPERSAMPLING
    monkeypatch.setattr(objects, "MOST", 1)
    monkeypatch.setattr(objects, "background", lambda rng: Image.new("RGB", (large, large)))
    monkeypatch.setattr(objects, "colour", lambda rng, low, high: (high, high, high))
    objects.main(str(tmp_path))
    for name, [(_, box)] in annotated(tmp_path):
        with Image.open(tmp_path / "JPEGImages" / f"{name}.jpg") as picture:
            shown = np.asarray(picture.convert("L")) > 90  # noise stays below 40
        y, x = np.nonzero(shown)
        seen = [x.min() + 1, y.min() + 1, x.max() + 1, y.max() + 1]  # pixels are counted from 1
        assert np.abs(np.subtract(seen, box)).max() <= 2, name  # thin tips are pale


@pytest.mark.slow
def test_the_quickstart_runs_and_leaves_what_it_names(tmp_path):
    """All of it but the installation, on a few pictures, from a copy of the repository."""
    examples = copied(tmp_path)
    drawing = (examples / "make_objects.py").read_text(encoding="utf-8")
    few = drawing.replace('{"train": 4000, "test": 300}', '{"train": 32, "test": 8}')
    assert few != drawing
    (examples / "make_objects.py").write_text(few, encoding="utf-8")
    assert len(run(tmp_path, "detect-quickstart.sh", "found here")) == 8
    assert len(list((tmp_path / "found here" / "found").glob("*_dets.png"))) == 8


@pytest.mark.slow
@pytest.mark.skipif(not BCCD.is_file(), reason=f"no {BCCD}: photos of blood cells")
def test_blood_cells_runs_and_leaves_what_it_names(tmp_path):
    """An epoch on a few of the photos."""
    copied(tmp_path)
    shutil.unpack_archive(BCCD, tmp_path, **FILTER)
    for split, count in (("trainval", 16), ("test", 4)):
        names = tmp_path / "BCCD" / "ImageSets" / "Main" / f"{split}.txt"
        names.write_text("\n".join(names.read_text().split()[:count]))
    assert len(run(tmp_path, "blood-cells.sh", "BCCD", "found here")) == 4
    assert len(list((tmp_path / "found here" / "found").glob("*_dets.png"))) == 4


@pytest.mark.slow
@pytest.mark.skipif(not BCCD.is_file(), reason=f"no {BCCD}: photos of blood cells")
def test_cells_from_weights_runs_and_leaves_what_it_names(tmp_path):
    """An epoch on a few of the photos, from a file of random weights."""
    copied(tmp_path)
    shutil.unpack_archive(BCCD, tmp_path, **FILTER)
    for split, count in (("trainval", 8), ("test", 2)):
        names = tmp_path / "BCCD" / "ImageSets" / "Main" / f"{split}.txt"
        names.write_text("\n".join(names.read_text().split()[:count]))
    rng = np.random.default_rng(0)
    arrays = {
        name: np.abs(rng.normal(0, 0.05, shape)) + 0.5 * name.endswith("running_var")
        for name, shape in resnet((3, 4, 6, 3), False).items()
    }
    write_zip(tmp_path / "resnet34.pth", *told(arrays))
    words = "resnet34.pth", "BCCD", "found here"
    assert len(run(tmp_path, "cells-from-weights.sh", *words)) == 4
    assert len(list((tmp_path / "found here" / "found").glob("*_dets.png"))) == 2


def copied(directory: Path) -> Path:
    """Copy the examples; put the programs where the scripts have installed them. Return where."""
    shutil.copytree(ROOT / "examples", directory / "examples")
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    stub(programs / "python", f'[ "$1" = -m ] || exec {sys.executable} "$@"')
    for program in (ROOT / "bin").iterdir():
        stub(programs / program.name, f'exec {sys.executable} {program} "$@"')
    return directory / "examples"


def run(directory: Path, script: str, *arguments: str) -> list[str]:
    """Run an example for one epoch; return the files that it names at its end, which are there."""
    done = subprocess.run(
        ["bash", f"examples/{script}", *arguments],
        cwd=directory,
        env={key: value for key, value in os.environ.items() if key != "GPU"} | {"EPOCHS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    named = re.findall(r"^   (\S*found here/\S+)", done.stdout, re.MULTILINE)
    for pattern in named:
        assert list(directory.glob(pattern.removeprefix(f"{directory}/").rstrip("/"))), pattern
    return named


def stub(file: Path, line: str) -> None:
    file.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    file.chmod(0o755)
