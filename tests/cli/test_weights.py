"""Weights of PyTorch at the command line: made a model, asked, and a network started from them."""

from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from conftest import Command
from model.files_of_torch import (
    Call,
    old,
    resnet_probabilities,
    small_resnet,
    told,
    write_zip,
)
from PIL import Image

from denet.model.format import load_model

ARRAYS = small_resnet(False, 7, "downsample")
SIDE = 33
MODIFY = f"model-modify --input a.th --output a.mdl --image-size {SIDE} {SIDE}"
TRUNK = "C.B[4,7,2] BN A P[3,2,1] nRSN.O[2,4,3] nRSN.O[2,12,3,2]"


def words(line: str) -> list[str]:
    return line.split()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Lay out a checkpoint, names for its classes and an image."""
    value, storages = told({f"module.{name}": each for name, each in ARRAYS.items()}, None)
    content = old({"epoch": 7, "state_dict": value, "best_prec1": 30.5}, storages)
    (tmp_path / "a.th").write_bytes(content)
    (tmp_path / "names.txt").write_text("cat\ndog\ncow\n")
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path


def test_from_a_checkpoint_to_an_answer(files: Path, command: Command) -> None:
    normal = "--normalise 0.4 0.5 0.6 0.2 0.3 0.25"
    done = command(*f"{MODIFY} --class-labels names.txt {normal}".split())
    assert done.returncode == 0, done.stderr
    assert "a.th: ResNet, 52 arrays read" in done.stderr and "ImageNet" not in done.stderr
    shown = command(*words("model-info --model a.mdl"))
    parameters = sum(each.size for name, each in ARRAYS.items() if "running" not in name)
    assert f"{parameters:,}" in shown.stdout and "3 classes" in shown.stdout
    answer = command(*words("model-predict --model a.mdl --input a.png --format csv"))
    assert answer.returncode == 0, answer.stderr
    pixels = np.asarray(Image.open(files / "a.png")) / 255
    seen = ((pixels - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.25]).transpose(2, 0, 1)
    best = int(np.argmax(resnet_probabilities(ARRAYS, seen)))
    assert ["cat", "dog", "cow"][best] in answer.stdout.splitlines()[1]


def test_pixels_are_those_of_imagenet_unless_told(files: Path, command: Command) -> None:
    done = command(*MODIFY.split())
    assert "pixels are taken to be normalised by mean 0.485 0.456 0.406" in done.stderr
    model = load_model(files / "a.mdl")
    assert model.preprocessing.std == (0.229, 0.224, 0.225)
    assert model.class_labels == ["class 1", "class 2", "class 3"]


def test_what_does_not_fit_is_listed(files: Path, command: Command) -> None:
    other = f"{TRUNK.replace('12,3,2', '16,3,2')} P.A R.B"
    done = command(*MODIFY.split(), "--model-desc", *other.split())
    assert done.returncode == 3
    *listed, last = done.stderr.splitlines()
    assert "another shape: layer2.0.conv1.weight [12, 4, 3, 3], the network needs [16," in listed[0]
    assert last.startswith("error: cannot read weights: a.th: ") and "arrays do not fit" in last
    assert not (files / "a.mdl").exists()


def test_a_hostile_file(files: Path, command: Command) -> None:
    value = {"state_dict": Call("posix system", ("touch witness",))}
    write_zip(files / "b.pth", value, {})
    done = command(*words("model-modify --input b.pth --output b.mdl"))
    assert done.returncode == 3
    assert "it asks for 'posix.system'" in done.stderr and done.stderr.count("\n") == 1
    assert not (files / "witness").exists()


def test_a_model_needs_no_network_said(files: Path, command: Command) -> None:
    command(*MODIFY.split())
    done = command(*words("model-modify --input a.mdl --output b.mdl --model-desc P.A R"))
    assert done.returncode == 2 and "--model-desc: a.mdl: a model tells its network" in done.stderr
    done = command(*words("model-predict --model a.th --input a.png"))
    assert done.returncode == 2 and "weights of other programs are made one by" in done.stderr


def test_a_detector_starts_from_weights(files: Path, command: Command) -> None:
    """All arrays of the trunk are taken; those of the classes are left."""
    command(*MODIFY.split())
    cells = {"red": (3, 3, 20, 20), "blue": (10, 12, 30, 30)}
    images = {name: voc_xml(object_xml(name, box), size=(64, 64)) for name, box in cells.items()}
    write_voc(files / "VOC", images, size=(64, 64))
    detector = f"{TRUNK} DNC[8] DNS[2,4] C.B[8] BNA DND"
    done = command(
        *words("model-train --model a.mdl --init-partial --border-mode half --model-desc"),
        *detector.split(),
        *words("--train VOC --extension voc,train,crop=64 --epochs 1 --batch-size 2"),
        *words("--learn-rate 0.001 --output-prefix run/d"),
    )
    assert done.returncode == 0, done.stderr
    assert (
        "50 of 61 arrays loaded" in done.stderr and "in the file only: 10.class-conv" in done.stderr
    )
