"""Samples in NumPy files: FNAME_data.npy and FNAME_labels.npy, or both in FNAME.npz."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.lib.format import MAGIC_PREFIX, open_memmap

from denet.dataset.base import Dataset, choose_samples, class_ids
from denet.errors import DataError

log = logging.getLogger(__name__)

_CHUNK = 1 << 22  # elements checked together
_MAX_CLASSES = 100_000  # wider label ranges are a mistake, not a classification problem


class ArrayDataset(Dataset):
    """Rows of a (B, c, h, w) array that may lie on disk (memory mapped)."""

    def __init__(
        self, class_labels: Sequence[str], labels: np.ndarray, data: np.ndarray, rows: np.ndarray
    ):
        _, channels, height, width = data.shape
        names = [f"row {row}" for row in rows]
        super().__init__(class_labels, labels, names, (channels, height, width))
        self._data, self._rows = data, rows

    def read(self, indices: np.ndarray) -> np.ndarray:
        rows = np.asarray(self._data[self._rows[indices]])
        return np.ascontiguousarray(rows.transpose(0, 2, 3, 1))


def open_array(
    path: str,
    kind: str,
    *,
    class_labels: Sequence[str] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    thread_num: int | None = 1,
    progress: bool = True,
) -> ArrayDataset:
    """Open data (B, c, h, w) float32 or uint8 and labels (B,) of any integer type.

    The classes are the numbers from the smallest to the largest label, named in decimal. float32
    values are taken as they are. Raises DataError for a wrong file, shape, type or value.
    """
    (data, data_file), (labels, labels_file) = (_load_npz if kind == "npz" else _load_npy)(path)
    _check_data(data, data_file)
    _check_labels(labels, labels_file)
    if len(data) != len(labels):
        raise DataError(
            f"{len(data)} samples but {len(labels)} labels: {data_file}, {labels_file}: "
            "save one label per sample"
        )
    rows = choose_samples(len(data), max_samples, seed)
    labels = labels.astype(np.int64)
    low, high = int(labels.min()), int(labels.max())
    if class_labels is None:
        if high - low >= _MAX_CLASSES:
            raise DataError(
                f"labels from {low} to {high}: {labels_file}: number the classes 0, 1, 2, ..."
            )
        names, ids = [str(value) for value in range(low, high + 1)], labels[rows] - low
    else:
        names = list(class_labels)
        values, inverse = np.unique(labels, return_inverse=True)
        known = class_ids([str(value) for value in values], class_labels, labels_file)
        ids = np.array([known[str(value)] for value in values])[inverse[rows]]
    dataset = ArrayDataset(names, ids, data, rows)
    _check_finite(dataset, data_file)
    log.info("%s: %s", path, dataset.text())
    return dataset


def _load_npy(path: str) -> list[tuple[np.ndarray, str]]:
    found = []
    for part in ("data", "labels"):
        file = f"{path}_{part}.npy"
        try:
            found.append((_open_npy(file), file))
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(file, error) from None
    return found


def _open_npy(file: str) -> np.ndarray:
    """Return the array that lies in a .npy file; np.load would tell how to unpickle strangers."""
    with open(file, "rb") as stream:
        start = stream.read(len(MAGIC_PREFIX))
    if start.startswith(b"PK"):
        raise ValueError("an npz archive, not an array; use --extension npz")
    if start != MAGIC_PREFIX:
        raise ValueError("not an array; write it with numpy.save")
    return open_memmap(file, mode="r")


def _load_npz(path: str) -> list[tuple[np.ndarray, str]]:
    file = path if path.endswith(".npz") else path + ".npz"
    try:
        with open(file, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("an array, not an npz archive; use --extension npy")
            if missing := {"data", "labels"} - set(archive.files):
                raise DataError(
                    f"no array called {min(missing)!r}: {file}: save it with "
                    "np.savez(FNAME, data=data, labels=labels)"
                )
            return [(archive[part], f"{file}[{part}]") for part in ("data", "labels")]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: Exception) -> DataError:
    where = os.path.abspath(file)
    if isinstance(error, FileNotFoundError):
        return DataError(f"no such file: {where}: give FNAME of FNAME_data.npy or FNAME.npz")
    return DataError(f"cannot read the array: {where}: {' '.join(str(error).split())}")


def _check_data(data: np.ndarray, file: str) -> None:
    if data.ndim != 4 or 0 in data.shape:
        raise DataError(
            f"shape {data.shape}: {file}: save the images as (samples, channels, height, width)"
        )
    if data.dtype not in (np.float32, np.uint8):
        raise DataError(f"{data.dtype} values: {file}: save them as float32 or uint8")


def _check_labels(labels: np.ndarray, file: str) -> None:
    if labels.ndim != 1:
        raise DataError(f"shape {labels.shape}: {file}: save the labels as (samples,)")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{labels.dtype} labels: {file}: save them as int32")


def _check_finite(dataset: ArrayDataset, file: str) -> None:
    if dataset._data.dtype == np.uint8:
        return
    step = max(1, _CHUNK // int(np.prod(dataset.shape)))
    for start in range(0, len(dataset), step):
        chunk = dataset.read(np.arange(start, min(start + step, len(dataset))))
        finite = np.isfinite(chunk).all(axis=(1, 2, 3))
        if not finite.all():
            name = dataset.names[start + int(np.argmin(finite))]
            raise DataError(f"a value that is not a finite number: {file}, {name}: replace it")
