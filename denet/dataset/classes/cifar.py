"""CIFAR-10 and CIFAR-100 in the binary files that their authors distribute.

Images are records of one label byte (CIFAR-100: two, coarse and fine) and 3072 bytes, the planes
red, green, blue of 32x32 pixels, row by row.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from denet.dataset.annotation_file import read_names
from denet.dataset.base import Opening
from denet.dataset.class_names import class_ids
from denet.dataset.classes.array import ArrayDataset
from denet.dataset.classes.split_files import Splits, files_of, size_of
from denet.errors import DataError, UsageError
from denet.memory import room
from denet.printable import counted

log = logging.getLogger(__name__)

SHAPE = 3, 32, 32
_PIXELS = 3 * 32 * 32  # bytes
_FOLDERS = ("", "cifar-10-batches-bin", "cifar-100-binary")  # as the archives unpack
_FILES = {  # split -> files of CIFAR-10, of CIFAR-100
    "train": ([f"data_batch_{number}.bin" for number in range(1, 6)], ["train.bin"]),
    "test": (["test_batch.bin"], ["test.bin"]),
}
# byte of a record, file of the names, classes
_LABELS = {"fine": (1, "fine_label_names.txt", 100), "coarse": (0, "coarse_label_names.txt", 20)}
_LABELS_OF_10 = 0, "batches.meta.txt", 10
_PICKLES = ("data_batch_1", "test_batch", "batches.meta", "train", "meta")


def open_cifar(
    path: str, kind: str, opening: Opening, splits: Sequence[str] = (), labels: str | bool = "fine"
) -> ArrayDataset:
    """Open splits (train, test) of a directory of these files, or one of the files.

    Classes are named by the .txt file beside, else by their numbers; ``labels`` of CIFAR-100 are
    fine or coarse. Raises DataError for wrong files, UsageError for wrong options.
    """
    if labels not in _LABELS:
        raise UsageError(f"labels={labels}: --extension {kind}: give labels=fine or labels=coarse")
    files = files_of(path, kind, splits, splits_at, _nothing)
    label_bytes = _label_bytes(files)
    if label_bytes == 1 and labels == "coarse":
        raise UsageError(
            f"labels=coarse: --extension {kind}: {files[0].absolute()} is of CIFAR-10, whose "
            "classes are not grouped: leave it out"
        )
    records = _read(files, label_bytes)
    place, name, count = _LABELS[str(labels)] if label_bytes == 2 else _LABELS_OF_10
    names_file = files[0].with_name(name)
    numbers = records[:, place]
    names = _names(names_file, count, int(numbers.max()))
    if not names_file.is_file() and not set(names).issubset(opening.class_labels or names):
        raise DataError(
            f"classes are mere numbers: {files[0].absolute()}: put {names_file.name} of the "
            "archive beside it, which names them"
        )
    ids = class_ids(names, opening.class_labels, str(files[0]), opening.class_owner)
    rows = opening.choose(len(records), str(files[0]))
    known = np.array([ids[name] for name in names], np.int32)
    images = records[:, label_bytes:].reshape(-1, *SHAPE)
    dataset = ArrayDataset(list(ids), known[numbers[rows]], images, rows)
    log.info("%s: %s", path, dataset.text())
    return dataset


def splits_at(path: str) -> Splits:
    """Return the files of each split that lies, if in parts, in the directory or one deeper.

    All files of a split belong to it: what is wrong with one, or that it is missing, is told when
    it is read.
    """
    for folder in _FOLDERS:
        kinds = [
            (split, [Path(path, folder, name) for name in names])
            for split, both in _FILES.items()
            for names in both
        ]
        found = {split: files for split, files in kinds if any(map(os.path.lexists, files))}
        if found:
            return found
    return {}


def _nothing(path: str) -> str:
    """Say what lies there instead."""
    where = os.path.abspath(path)
    folders = [Path(path, "cifar-10-batches-py"), Path(path, "cifar-100-python"), Path(path)]
    if any((folder / name).is_file() for folder in folders for name in _PICKLES):
        return (
            f"the Python version of CIFAR: {where}: it is a pickle, which can run a stranger's "
            "code when it is read: take the binary version"
        )
    return (
        f"no CIFAR files: {where}: give the directory of data_batch_1.bin to data_batch_5.bin and "
        "test_batch.bin, of train.bin and test.bin, or one such file"
    )


def _label_bytes(files: Sequence[Path]) -> int:
    """Return the label bytes of a record, 1 or 2; DataError unless all files hold such records."""
    fitting = {1, 2}
    for file in files:
        size = size_of(file)
        fitting = {count for count in fitting if size and size % (count + _PIXELS) == 0}
        if not fitting:
            raise DataError(
                f"{size} bytes: {file.absolute()}: CIFAR has records of {1 + _PIXELS} bytes "
                f"(CIFAR-10) or {2 + _PIXELS} (CIFAR-100), all files the same: take another copy"
            )
    return min(fitting)


def _read(files: Sequence[Path], label_bytes: int) -> np.ndarray:
    """Return all records (n, bytes) uint8."""
    size = sum(file.stat().st_size for file in files)
    with room(size, f"the images: {files[0].parent}", "take fewer splits"):
        data = np.empty(size, np.uint8)
    start = 0
    try:
        for file in files:
            with file.open("rb") as stream:
                count = stream.readinto(data.data[start : start + file.stat().st_size])
            start += count
    except OSError as error:
        raise DataError(f"cannot read {file.absolute()}: {error.strerror}") from error
    if start != size:
        raise DataError(f"cut short while it is read: {files[0].parent}: run again")
    return data.reshape(-1, label_bytes + _PIXELS)


def _names(file: Path, count: int, highest: int) -> list[str]:
    """Return the class names in a file, or numbers where there is none.

    Raises DataError unless there are as many as the ``highest`` label needs.
    """
    named = file.is_file()
    names = read_names(str(file))[:count] if named else [str(number) for number in range(count)]
    if highest >= count:
        raise DataError(
            f"label {highest} of {count} classes: {file.parent.absolute()}: not CIFAR, or damaged: "
            "take another copy"
        )
    if highest >= len(names):
        raise DataError(
            f"{counted(len(names), 'name')} for {count} classes: {file.absolute()}: give each "
            "class a line, or remove the file: classes are then called by their numbers"
        )
    return names
