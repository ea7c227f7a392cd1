"""Lists of images: both orders of a line, blanks in paths, classes by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denet.dataset import open_dataset
from denet.dataset.survey.classes import survey
from denet.errors import DataError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four images of one colour, named after it."""
    (tmp_path / "my photos").mkdir()
    for grey in (10, 20, 30, 40):
        Image.new("RGB", (5, 4), (grey, 0, 1)).save(tmp_path / f"my photos/{grey}.png")
    return tmp_path


def opened(folder: Path, text: str, extension: str = "png"):
    (folder / "list.txt").write_text(text)
    return open_dataset(folder / "list.txt", extension)


@pytest.mark.parametrize(
    "text",
    [
        "10 my photos/10.png\n9 my photos/20.png\n\n10 my photos/30.png\n",
        "my photos/10.png 10\nmy photos/20.png   9\nmy photos/30.png\t10",
        "10\tmy photos/10.png\nmy photos/20.png 9\n  10   my photos/30.png  \n",
    ],
)
def test_lines_of_both_orders(photos: Path, text: str) -> None:
    dataset = opened(photos, text)
    assert dataset.class_labels == ["9", "10"]  # by value
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.images(np.arange(3))[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_a_class_of_more_digits_than_a_number_has_is_a_word(photos: Path) -> None:
    long = "9" * 5000
    dataset = opened(photos, f"{long} my photos/10.png\n10 my photos/20.png\n")
    assert dataset.class_labels == ["10", long]


def test_classes_are_words_and_paths_may_be_whole(photos: Path) -> None:
    dataset = opened(photos, f"dog {photos}/my photos/40.png\ncat.png my photos/10.png\n")
    assert dataset.class_labels == ["cat.png", "dog"] and dataset.labels.tolist() == [1, 0]


def test_other_suffixes_are_left_out_and_missing_files_told(photos: Path) -> None:
    (photos / "a.jpg").write_bytes(b"")
    assert len(opened(photos, "1 my photos/10.png\n2 a.jpg\n1 my photos/20.png")) == 2
    with pytest.raises(DataError, match=r"cannot read the image: .*nowhere.png: no such file"):
        opened(photos, "1 my photos/10.png\n2 nowhere.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no images: .*list.txt: give each image a line: CLASS PATH, or PATH CLASS"),
        ("1 my photos/10.png\nmy photos/20.png\n3", "line 3 '3': .*list.txt: give each image"),
        ("1 my photos/10.txt", "line 1 '1 my photos/10.txt'"),
        ("10.png", "line 1 '10.png'"),
        ("1 10.png\n2 20.png", "none of its 2 images is there: .*10.png: .*list.txt: paths are"),
    ],
)
def test_wrong_lists(photos: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        opened(photos, text)


def test_model_info_looks_at_a_list(photos: Path) -> None:
    (photos / "list.txt").write_text("a my photos/10.png\nb my photos/20.png\n")
    found = survey(str(photos / "list.txt"))
    assert found.kind == "png" and found.train.counts == {"a": 1, "b": 1}
