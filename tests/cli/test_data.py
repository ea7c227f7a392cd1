"""A new user's day: a directory of images, what model-info says of it, and its advice run."""

import json
import os
import shlex
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_coco, write_voc
from conftest import ROOT, Command, Result
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(4)


def picture(channel: int, width: int = 12, height: int = 12) -> Image.Image:
    pixels = RNG.integers(0, 80, (height, width, 3))
    pixels[..., channel] += 150
    return Image.fromarray(pixels.astype(np.uint8))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Lay out a set with most kinds of damage, strange names, sizes and modes."""
    root = tmp_path / "my photos"
    for split, number in (("train", 8), ("val", 3)):
        for channel, label in enumerate(("Katze 猫", "dog's")):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(number):
                picture(channel, 12 + index % 2).save(folder / f"{index} ü.jpg")
    cats = root / "train" / "Katze 猫"
    (cats / "empty.jpg").write_bytes(b"")
    (cats / "text.jpg").write_text("hello")
    (cats / "cut.jpg").write_bytes((cats / "0 ü.jpg").read_bytes()[:-60])
    picture(0).save(cats / "cut.png")
    (cats / "cut.png").write_bytes((cats / "cut.png").read_bytes()[:-60])
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (cats / "huge.png").write_bytes(PNG + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
    os.symlink("/nowhere", cats / "link.jpg")
    picture(0).save(cats / "really.jpg", format="PNG")
    Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * 400).save(cats / "16.png")
    picture(0).convert("CMYK").save(cats / "ink.jpg")
    picture(0).save(cats / "moving.gif", save_all=True, append_images=[picture(1)])
    (cats / "directory.jpg").mkdir()
    picture(0).save(cats / "directory.jpg" / "inside.jpg")
    with open(os.fsencode(cats) + b"/\xff.jpg", "wb") as file:
        picture(0).save(file, "JPEG")
    (cats / "readme.txt").write_text("")
    return root


def typed(directory: Path, line: str) -> Result:
    """Run a command line in a shell, its program from bin/."""
    name, arguments = line.split(" ", 1)
    program = shlex.join([sys.executable, str(ROOT / "bin" / name)])
    return subprocess.run(
        ["bash", "-c", f"{program} {arguments}"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
    )


BAD = {
    "cut.jpg": "image file is truncated",
    "cut.png": "image file is truncated",
    "empty.jpg": "an empty file",
    "huge.png": "more pixels than --max-image-pixels 89478485",
    "link.jpg": "no such file or directory",
    "text.jpg": "not an image",
}


def test_messy_data(messy: Path, command: Command) -> None:
    """The report tells all that is wrong, and the command line in it trains."""
    told = command("model-info", "--data", "my photos")
    assert told.returncode == 3, told.stderr  # files that cannot be read
    facts = json.loads(command("model-info", "--data", "my photos", "--json").stdout)
    assert facts["train"] in told.stdout and facts["extension"] in facts["train"]
    reasons = [each["reason"] for each in facts["unreadable"]]
    assert reasons and all(reason in told.stdout for reason in reasons)
    assert all(line in told.stdout for line in facts["problems"])
    for line in ("my photos: 28 images in 2 classes", "6 of 34 images cannot be read", ".txt (1)"):
        assert line in told.stdout
    for name, reason in BAD.items():
        assert f"    my photos/train/Katze 猫/{name}: {reason}" in told.stdout
    advice = told.stdout[told.stdout.index("\nmodel-train") :]
    assert "--on-bad-data skip" in advice and ",crop=12" in advice
    done = typed(messy.parent, f"{advice.strip()} --epochs 1 --backend numpy")
    assert done.returncode == 0, done.stderr
    assert (messy.parent / "run" / "my photos_best.mdl").exists()
    assert "6 of 28 images left out" in done.stderr


def test_nothing_to_train_on(tmp_path: Path, command: Command) -> None:
    done = command("model-info", "--data", "nowhere")
    assert (done.returncode, done.stdout) == (3, "") and "no such directory: /" in done.stderr
    picture(0).save(tmp_path / "1.png")
    done = command("model-info", "--data", ".")
    assert done.returncode == 3 and "make one directory per class" in done.stderr


def test_one_image_is_too_large(tmp_path: Path, command: Command) -> None:
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        picture(0).save(tmp_path / "set" / label / "1.png")
    picture(0, 90, 90).save(tmp_path / "set/a/2.png")
    done = command("model-info", "--data", "set", "--max-image-pixels", 1000)
    assert "set/a/2.png: more pixels than --max-image-pixels 1000" in done.stdout


def boxes_of_voc(root: Path) -> None:
    xml = voc_xml(object_xml("dog's", (1, 1, 9, 9)), object_xml("cat", (5, 2, 20, 10)))
    for split, number in (("train", 4), ("test", 2)):
        write_voc(root, {f"{split}{index}": xml for index in range(number)}, split)


def boxes_of_coco(root: Path) -> None:
    for split, number in (("train2017", 4), ("val2017", 2)):
        images = [{"id": n, "file_name": f"{n}.jpg", "width": 20, "height": 10} for n in range(4)]
        boxes = [{"image_id": n, "category_id": 5, "bbox": [1, 1, 8, 8]} for n in range(number)]
        categories = [{"id": 5, "name": "dog's"}]
        content = {"images": images[:number], "annotations": boxes, "categories": categories}
        write_coco(root, content, split)


@pytest.mark.parametrize(("make", "stem"), [(boxes_of_voc, "test"), (boxes_of_coco, "")])
def test_images_with_boxes(
    tmp_path: Path, command: Command, make: Callable[[Path], None], stem: str
) -> None:
    """The lines for a detector run as they stand, one after the other."""
    make(tmp_path / "my photos")
    told = command("model-info", "--data", "my photos")
    assert told.returncode == 0, told.stderr
    facts = json.loads(command("model-info", "--data", "my photos", "--json").stdout)
    assert facts["train"] in told.stdout and facts["predict"] in told.stdout
    assert facts["unreadable"] == [] and facts["objects"]
    assert "dog's" in told.stdout and "4 in 4" in told.stdout
    train, predict = told.stdout[told.stdout.index("\nmodel-train") :].strip().split("\n\n")
    assert "--epochs 500 " in train and "_epoch500_final.mdl" in predict
    done = typed(tmp_path, f"{train} --epochs 1")
    assert done.returncode == 0, done.stderr
    done = typed(tmp_path, predict.replace("_epoch500_final", "_epoch001_final"))
    assert done.returncode == 0, done.stderr
    assert "AP 11-point / area" in done.stdout
    pictures = sorted(path.name for path in (tmp_path / "run/my photos_found").glob("*.png"))
    assert pictures == [f"{stem}0_dets.png", f"{stem}1_dets.png"]
