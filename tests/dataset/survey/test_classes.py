"""What is told of data of every layout: splits, classes, sizes, damage, doubles."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from denet.dataset.survey.classes import survey
from denet.errors import DataError, UsageError


def save(path, size=(6, 4), mode="RGB", **options):
    """Save an image that no other file is identical to."""
    save.seed += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(save.seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)


save.seed = 0


def look(path, *arguments, **options):
    return survey(str(path), *arguments, thread_num=1, progress=False, **options)


def test_splits_and_counts(tmp_path):
    for split, numbers in (("Train", 3), ("valid", 2), ("extra", 1)):
        for label in ("cat", "dog"):
            for number in range(numbers):
                save(tmp_path / split / label / "deep" / f"{number}.jpg")
    save(tmp_path / "Train/dog/x.jpeg", (4, 6), "L")
    (tmp_path / "Train/emu").mkdir()
    found = look(tmp_path)
    assert (found.kind, found.class_labels) == ("jpg", ["cat", "dog", "emu"])
    assert [split.name for split in found.splits] == ["train", "valid"]
    assert found.train.counts == {"cat": 3, "dog": 4, "emu": 0}
    assert found.test.counts == {"cat": 2, "dog": 2} and len(found.test) == 4
    assert found.unused == [str(tmp_path / "extra")]
    assert found.sizes() == {(6, 4): 10, (4, 6): 1}
    assert found.train.modes == {"RGB": 6, "L": 1}


def test_test_comes_before_val(tmp_path):
    for split in ("train", "val", "test"):
        save(tmp_path / split / "a/1.png")
    found = look(tmp_path)
    assert found.test.path == str(tmp_path / "test") and found.unused == [str(tmp_path / "val")]


def test_auto_is_none_given(tmp_path):
    for split in ("train", "test"):
        save(tmp_path / split / "a/1.png")
    found = look(tmp_path, "auto,crop=3x2")
    assert (found.kind, found.crop, len(found.splits)) == ("png", (3, 2), 2)
    with pytest.raises(UsageError, match="auto,split=0.5: no images with boxes in .*: give auto"):
        look(tmp_path, "auto,split=0.5")


def test_a_class_may_be_called_train(tmp_path):
    for label in ("bus", "train"):
        save(tmp_path / label / "1.png")
    found = look(tmp_path)
    assert found.class_labels == ["bus", "train"] and found.test is None
    assert found.train.path == str(tmp_path) and found.train.name == "all"


@pytest.mark.parametrize(
    "names, kind",
    [
        (["1.jpg", "2.JPEG", "3.jpeg"], "jpeg"),
        (["1.png", "2.PNG"], "png"),
        (["1.png", "2.jpg"], "image"),
        (["1.tif"], "tif"),
    ],
)
def test_kind(tmp_path, names, kind):
    for name in names:
        save(tmp_path / "a" / name)
    (tmp_path / "a/notes.txt").write_text("")
    (tmp_path / "list.csv").write_text("")
    found = look(tmp_path)
    assert found.kind == kind and len(found.train) == len(names)
    assert found.train.others == {".txt": 1} and found.train.loose == {".csv": 1}


def test_given_kind(tmp_path):
    for name in ("1.png", "2.jpg", "3.jpg"):
        save(tmp_path / "a" / name)
    found = look(tmp_path, "jpg,crop=3x2")
    assert found.kind == "jpg" and found.crop == (3, 2) and len(found.train) == 2
    assert found.train.others == {".png": 1}
    with pytest.raises(UsageError, match="did you mean"):
        look(tmp_path, "jgp")


def test_damage_is_found(tmp_path):
    for number in range(3):
        save(tmp_path / f"a/{number}.jpg", (40, 40))
    data = (tmp_path / "a/1.jpg").read_bytes()
    (tmp_path / "a/1.jpg").write_bytes(data[:-99])
    (tmp_path / "a/2.jpg").write_bytes(b"text")
    save(tmp_path / "a/3.jpg", (50, 50))
    found = look(tmp_path, max_image_pixels=2000)
    assert [(os.path.basename(name), why.split(" (")[0]) for name, why in found.train.bad] == [
        ("1.jpg", "image file is truncated"),
        ("2.jpg", "not an image"),
        ("3.jpg", "more pixels than --max-image-pixels 2000"),
    ]
    assert found.train.counts == {"a": 1} and found.sizes() == {(40, 40): 1}


def test_turned_images_count_by_their_upright_size(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path / "a/1.jpg", (6, 4), exif=exif)
    save(tmp_path / "a/2.jpg", (4, 6))
    found = look(tmp_path)
    assert found.sizes() == {(4, 6): 2} and found.train.turned == 1


def test_identical_files(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png"):
        save(tmp_path / name)
    shutil.copy(tmp_path / "train/a/1.png", tmp_path / "test/a/5.png")
    shutil.copy(tmp_path / "train/a/1.png", tmp_path / "train/b/6.png")
    shutil.copy(tmp_path / "train/b/2.png", tmp_path / "train/b/7.png")  # same class: harmless
    found = look(tmp_path)
    first = str(tmp_path / "train/a/1.png")
    assert found.leaks() == [(str(tmp_path / "test/a/5.png"), first)]
    assert found.conflicts() == [(first, str(tmp_path / "train/b/6.png"))]


@pytest.mark.parametrize("kind", [None, "npy"])
def test_arrays(tmp_path, kind):
    for name, count in (("train", 6), ("test", 4)):
        data = np.ones((count, 1, 4, 6), np.float32)
        data[1, 0, 0, 0] = np.inf
        np.save(tmp_path / f"{name}_data.npy", data)
        np.save(tmp_path / f"{name}_labels.npy", np.arange(count) % 2)
    found = look(tmp_path, kind)
    assert found.kind == "npy" and found.train.path == str(tmp_path / "train")
    assert found.train.counts == {"0": 3, "1": 2} and found.test.counts == {"0": 2, "1": 1}
    assert found.sizes() == {(6, 4): 8} and found.train.modes == {"float32 of 1 channel": 5}
    assert [bad.name for bad in found.test.bad] == ["row 1"]
    one = look(tmp_path / "train", kind)
    assert one.test is None and len(one.train) == 5


def flat(path):
    save(path / "1.jpg")
    save(path / "2.jpg")


def flat_splits(path):
    flat(path / "train")
    flat(path / "test")


def all_bad(path):
    (path / "a").mkdir()
    (path / "a/1.png").write_bytes(b"text")


NOTHING = [
    (lambda path: path.rmdir(), "no such directory: /.*set"),
    (lambda path: None, "no class directories: /.*set: make one directory per class"),
    (flat, r"2 files, .jpg \(2\), but no class directories.*: .*set/train/CLASS/"),
    (flat_splits, r"2 files, .*no class directories: .*set/train: .*set/train/CLASS/"),
    (lambda path: (path / "a").mkdir(), "no images in 1 class directories: .*set$"),
    (
        lambda path: save(path / "a/b/1.png") or os.rename(path / "a/b/1.png", path / "a/b/1"),
        "no su",
    ),
    (all_bad, "no images to train on: .*none of 1 can be read, .*a/1.png: not an image"),
]


@pytest.mark.parametrize("make, message", NOTHING)
def test_nothing_to_train_on(tmp_path, make, message):
    (tmp_path / "set").mkdir()
    make(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        look(tmp_path / "set")
