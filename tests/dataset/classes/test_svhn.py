"""SVHN in MATLAB files written by SciPy with the arrays that their authors describe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from denet.dataset import open_dataset
from denet.errors import DataError, UsageError

PIXELS = np.random.default_rng(3).integers(0, 256, (32, 32, 3, 4), np.uint8)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    labels = np.array([[1], [10], [9], [10]], np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": PIXELS, "y": labels}, do_compression=True)
    savemat(tmp_path / "extra_32x32.mat", {"X": PIXELS[..., :1], "y": np.array([[5.0]])})
    return tmp_path


def test_ten_is_the_digit_nought(numbers: Path) -> None:
    dataset = open_dataset(numbers, "svhn,train")
    assert dataset.class_labels == list("0123456789") and dataset.shape == (3, 32, 32)
    assert dataset.labels.tolist() == [1, 0, 9, 0]
    np.testing.assert_array_equal(dataset.images(np.arange(4)), PIXELS.transpose(3, 0, 1, 2))
    both = open_dataset(numbers, "svhn,train,extra")
    assert both.labels.tolist() == [1, 0, 9, 0, 5]
    alone = open_dataset(numbers / "extra_32x32.mat", "svhn")
    np.testing.assert_array_equal(alone.images(np.arange(1))[0], PIXELS[..., 0])
    assert len(open_dataset(numbers, "svhn,train", max_samples=2)) == 2


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        ("svhn", "has train, extra: name the splits to use, such as svhn,train"),
        ("svhn,test", "no split 'test': .* has train, extra"),
    ],
)
def test_splits_that_are_not_there(numbers: Path, extension: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_dataset(numbers, extension)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": PIXELS}, "X but no y, the digits: .*: cut short: take another copy"),
        ({"y": np.ones((4, 1))}, "not the cropped digits of SVHN"),
        ({"X": PIXELS[..., :0], "y": np.ones((0, 1))}, "not the cropped digits of SVHN"),
        ({"X": PIXELS, "y": csc_matrix(np.ones((4, 1)))}, "not the cropped digits of SVHN"),
        ({"X": PIXELS, "y": np.full((4, 1), "a", object)}, "not the cropped digits of SVHN"),
        ({"X": PIXELS[..., 0], "y": np.ones((1, 1))}, "not the cropped digits of SVHN"),
        ({"X": PIXELS.astype(np.float64), "y": np.ones((4, 1))}, "not the cropped digits of SVHN"),
        ({"X": PIXELS, "y": np.ones((3, 1))}, "not the cropped digits of SVHN"),
        ({"X": PIXELS, "y": np.full((4, 1), 11)}, "labels other than 1 to 10"),
    ],
)
def test_other_arrays(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    savemat(tmp_path / "test_32x32.mat", arrays)
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path, "svhn,test")


def test_damaged_files(numbers: Path) -> None:
    whole = (numbers / "train_32x32.mat").read_bytes()
    for content in (b"", b"no MATLAB file" * 50, whole[: len(whole) // 2]):
        (numbers / "train_32x32.mat").write_bytes(content)
        with pytest.raises(DataError, match="(cannot read|cut short).*take another copy"):
            open_dataset(numbers, "svhn,train")
    with pytest.raises(DataError, match="no SVHN files"):
        open_dataset(numbers / "nowhere", "svhn,train")
    (numbers / "train_32x32.mat").unlink()
    (numbers / "train_32x32.mat").mkdir()
    with pytest.raises(DataError, match="not a file: .*train_32x32.mat"):
        open_dataset(numbers, "svhn,extra,train")


def test_a_file_of_hdf5(numbers: Path) -> None:
    start = (
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n".ljust(384, b"\0")
    )
    (numbers / "train_32x32.mat").write_bytes(start)
    with pytest.raises(DataError, match="MATLAB 7.3: .*train_32x32.mat: save it anew: .*-v7"):
        open_dataset(numbers, "svhn,train")


def test_without_the_extension_it_is_told(numbers: Path) -> None:
    with pytest.raises(DataError, match="give --extension svhn,NAME with .* train, extra$"):
        open_dataset(numbers, "jpg")
