"""What happens to images that cannot be used: all are told, or left out."""

import logging
import os

import numpy as np
import pytest
from PIL import Image

from denet.cli.options import MAX_IMAGE_PIXELS
from denet.dataset import BadDataError, BadSample, base, open_dataset


def save(path, value, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


@pytest.fixture
def messy(tmp_path):
    """Make 4 good images of 6x4 and 5 bad files, the first file among them."""
    save(tmp_path / "ant/0.png", 9, (5, 4))
    save(tmp_path / "ant/1.png", 1)
    (tmp_path / "ant/2.png").write_bytes(b"text")
    (tmp_path / "bee").mkdir()
    (tmp_path / "bee/1.png").write_bytes(b"")
    for value in (1, 2, 3):
        save(tmp_path / f"cat/{value}.png", value)
    save(tmp_path / "cat/4.png", 9, (7, 4))
    save(tmp_path / "cat/5.png", 9, (20, 20))
    return tmp_path


def bad_samples(path):
    reasons = {
        "ant/0.png": "5x4 instead of 6x4",
        "ant/2.png": "not an image",
        "bee/1.png": "an empty file",
        "cat/4.png": "7x4 instead of 6x4",
        "cat/5.png": "more pixels than --max-image-pixels 100",
    }
    return [BadSample(str(path / name), why) for name, why in reasons.items()]


def read(path, policy, extension="png", **options):
    return open_dataset(
        path, extension, progress=False, on_bad_data=policy, max_image_pixels=100, **options
    )


def test_error_tells_all(messy):
    with pytest.raises(BadDataError, match="cannot use 5 of 9 images: .*--on-bad-data") as caught:
        read(messy, "error")
    assert caught.value.bad == bad_samples(messy) and caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_skip_leaves_out_and_tells(messy, caplog):
    """The most common size counts, not that of the first file."""
    with caplog.at_level(logging.INFO):
        dataset = read(messy, "skip")
    assert dataset.bad == bad_samples(messy)
    assert dataset.class_labels == ["ant", "bee", "cat"] and dataset.labels.tolist() == [0, 2, 2, 2]
    assert [os.path.relpath(name, messy) for name in dataset.names] == [
        "ant/1.png",
        "cat/1.png",
        "cat/2.png",
        "cat/3.png",
    ]
    assert dataset.images(np.array([3, 0]))[:, 0, 0, 0].tolist() == [3, 1]
    assert "5 of 9 images left out: " in caplog.text
    assert "class 'bee' has lost all of its images" in caplog.text


def test_crop_makes_sizes_fit(messy):
    dataset = read(messy, "skip", "png,crop=4x2")
    assert dataset.shape == (3, 2, 4) and len(dataset) == 6 and len(dataset.bad) == 3
    assert dataset.images(np.arange(6))[:, 1, 3, 1].tolist() == [9, 1, 1, 2, 3, 9]
    assert read(messy, "skip", "png,crop=8").shape == (3, 8, 8)


def test_all_bad_is_an_error(tmp_path):
    for number in range(3):
        save(tmp_path / f"a/{number}.png", 1, (20, 20))
    with pytest.raises(BadDataError, match="cannot read 3 of 3 images") as caught:
        read(tmp_path, "skip")
    assert len(caught.value.bad) == 3 and "--on-bad-data" not in str(caught.value)


def test_grey_set_with_bad_files(tmp_path):
    for number in range(3):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("L", (6, 4), number).save(tmp_path / f"a/{number}.png")
    (tmp_path / "a/1.png").write_bytes(b"")
    dataset = read(tmp_path, "skip", mirror=True)
    assert dataset.shape == (1, 4, 6)
    assert dataset.images(np.arange(4))[:, 0, 0, 0].tolist() == [0, 2, 0, 2]


def test_strange_file_names(tmp_path):
    """Names that are no text, or hold a line break, are read and told in one line."""
    folder = os.path.join(os.fsencode(tmp_path), "Käfer 虫".encode())
    os.makedirs(folder)
    for name in (b"\xff\xfe.png", b"two\nlines.png", "ü 1.png".encode()):
        with open(os.path.join(folder, name), "wb") as file:
            Image.new("RGB", (6, 4)).save(file, "PNG")
    assert len(read(tmp_path, "error")) == 3
    with open(os.path.join(folder, b"\xff\n.png"), "wb") as file:
        file.write(b"x")
    with pytest.raises(BadDataError) as caught:
        read(tmp_path, "error")
    assert r"Käfer 虫/\udcff\n.png (not an image)" in str(caught.value).replace(
        "png: not an image", "png (not an image)"
    )


def test_links_in_a_circle_are_followed_once(tmp_path):
    save(tmp_path / "a/1.png", 1)
    os.symlink(tmp_path / "a", tmp_path / "a/again")
    os.symlink(tmp_path, tmp_path / "a/up")
    assert len(read(tmp_path, "error")) == 1


def test_arrays_skip_rows(tmp_path):
    data = np.ones((4, 3, 2, 2), np.float32)
    data[1, 0, 0, 0] = np.nan
    np.save(tmp_path / "x_data.npy", data)
    np.save(tmp_path / "x_labels.npy", np.arange(4))
    with pytest.raises(BadDataError) as caught:
        read(tmp_path / "x", "error", "npy")
    bad = [BadSample("row 1", "a value that is not a finite number")]
    assert caught.value.bad == bad
    dataset = read(tmp_path / "x", "skip", "npy")
    assert dataset.bad == bad and list(dataset.names) == ["row 0", "row 2", "row 3"]
    assert dataset.labels.tolist() == [0, 2, 3] and len(dataset.class_labels) == 4


def test_one_limit():
    assert MAX_IMAGE_PIXELS.default == base.MAX_IMAGE_PIXELS
