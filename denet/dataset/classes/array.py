"""Samples in NumPy files: FNAME_data.npy and FNAME_labels.npy, or both in FNAME.npz.

The headers are read here, not by NumPy, whose reader evaluates them as Python and would tell how
to unpickle strangers. Nothing is allocated before header, size of the file and memory agree.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal

import numpy as np

from denet.dataset.base import BadDataError, BadSample, Dataset, Names, Opening, listed
from denet.dataset.class_names import class_ids
from denet.errors import DataError, DenetError, OutOfMemoryError
from denet.files import is_device
from denet.memory import bytes_text, is_out_of_memory, room

log = logging.getLogger(__name__)

_CHUNK = 1 << 22  # elements checked together
_MAX_CLASSES = 100_000  # wider label ranges are a mistake, not a classification problem
_MAX_SAMPLES = 1 << 31  # the labels of so many are read in about a minute
_IMAGE_COPIES = 3  # of an image in memory at once: as read, transposed, compared
_BAD_BYTES = 500  # of memory for what is told of a bad sample
_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 4096  # NumPy writes 128
_READ_BYTES = 1 << 20  # inflated at one go
_SHOWN_LENGTH = 200  # characters of an error that may repeat what the file holds
# the three entries of a header, in any order
_ELEMENTS = re.compile(rb"'descr': *'([<>|=]?(?:[iu][1248]|f[248]|b1))'")
_ORDER = re.compile(rb"'fortran_order': *(True|False)")
_SHAPE = re.compile(rb"'shape': *\(([0-9, ]{0,400})\)")  # 32 axes are the most in NumPy 1
_MAPPED = "save them as FNAME_data.npy and FNAME_labels.npy, which stay on the disk"
_ZIP_FAULTS = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class ArrayDataset(Dataset):
    """Rows of a (B, c, h, w) array that may lie on disk (memory mapped)."""

    def __init__(
        self,
        class_labels: Sequence[str],
        labels: np.ndarray,
        data: np.ndarray,
        rows: np.ndarray,
        bad: Sequence[BadSample] = (),
    ):
        _, channels, height, width = data.shape
        names = Names(lambda sample: f"row {rows[sample]}", range(len(rows)))
        super().__init__(class_labels, labels, names, (channels, height, width), bad)
        self._data, self._rows = data, rows
        self.held = data.dtype == np.uint8

    def stored(self, indices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._data[self._rows[indices]])

    def read(self, indices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.stored(indices).transpose(0, 2, 3, 1))


def open_array(path: str, kind: str, opening: Opening) -> ArrayDataset:
    """Open data (B, c, h, w) float32 or uint8 and labels (B,) of any integer type.

    The classes are the numbers from the smallest to the largest label, named in decimal. float32
    values are taken as they are. Raises DataError for a wrong file, shape, type or value.
    """
    try:
        (data, data_file), (labels, labels_file) = (_load_npz if kind == "npz" else _load_npy)(path)
        if len(data) != len(labels):
            raise DataError(
                f"{len(data)} samples but {len(labels)} labels: {data_file}, {labels_file}: "
                "save one label per sample"
            )
        rows = opening.choose(len(data), data_file)
        names, ids = _classes(labels, rows, opening, labels_file)
        size = data.nbytes // len(data)
        what = f"images of {bytes_text(size)} each: {data_file}"
        with room(_IMAGE_COPIES * size, what, "save smaller ones"):
            finite = _finite(data, rows)
        bad = _bad_rows(rows[~finite], data_file)
        if bad and (opening.on_bad_data == "error" or not finite.any()):
            raise BadDataError(
                f"{bad[0].reason}: {data_file}, {bad[0].name} ({len(bad)} of {len(rows)} samples): "
                "replace it, or leave them out with --on-bad-data skip",
                bad,
            )
        if bad:
            rows, ids = rows[finite], ids[finite]
        dataset = ArrayDataset(names, ids, data, rows, bad)
    except MemoryError:
        raise OutOfMemoryError(f"the arrays do not fit into memory: {path}: {_MAPPED}") from None
    log.info("%s: %s", path, dataset.text())
    if bad:
        log.warning("%s: %d of %d samples left out: %s", path, len(bad), len(finite), listed(bad))
    return dataset


def _classes(
    labels: np.ndarray,
    rows: np.ndarray,
    opening: Opening,
    file: str,
) -> tuple[list[str], np.ndarray]:
    """Return the class names and the class ids of these rows."""
    values = _distinct(labels, file)
    low, high = int(values[0]), int(values[-1])
    if opening.class_labels is not None:
        found = [str(value) for value in values]
        known = class_ids(found, opening.class_labels, file, opening.class_owner)
        names, numbers = list(known), np.array([known[name] for name in found])
    elif high - low < _MAX_CLASSES:
        names, numbers = [str(value) for value in range(low, high + 1)], values - low
    else:
        raise _foreign_labels(low, high, file)
    ids = np.empty(len(rows), np.int32)
    for part in _parts(len(rows)):
        ids[part] = numbers[np.searchsorted(values, labels[rows[part]].astype(np.int64))]
        _let_go(labels)
    return names, ids


def _distinct(labels: np.ndarray, file: str) -> np.ndarray:
    """Return the different labels, sorted int64. Raises DataError if there are too many."""
    values: np.ndarray = np.empty(0, np.int64)
    for part in _parts(len(labels)):
        if (high := int(labels[part].max())) > np.iinfo(np.int64).max:
            raise _foreign_labels(0, high, file)
        some = labels[part].astype(np.int64)
        low, high = int(some.min()), int(some.max())
        narrow = high - low < _MAX_CLASSES  # counting takes a ninth of the time of sorting
        found = np.flatnonzero(np.bincount(some - low)) + low if narrow else np.unique(some)
        values = np.union1d(values, found)
        _let_go(labels)
        if len(values) > _MAX_CLASSES:
            raise _foreign_labels(int(values[0]), int(values[-1]), file)
    return values


def _foreign_labels(low: int, high: int, file: str) -> DataError:
    return DataError(f"labels from {low} to {high}: {file}: number the classes 0, 1, 2, ...")


def _parts(count: int) -> Iterator[slice]:
    """Yield slices that cover so many elements."""
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _let_go(array: np.ndarray) -> None:
    """Give back the memory of what was read of a mapped file; it is there to be read again."""
    if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        array.base.madvise(mmap.MADV_DONTNEED)


def _bad_rows(rows: np.ndarray, file: str) -> list[BadSample]:
    """Return what is told of rows that hold something else than numbers."""
    what = "a value that is not a finite number"
    with room(_BAD_BYTES * len(rows), f"{what} in {len(rows)} samples: {file}", "replace them"):
        return [BadSample(f"row {row}", what) for row in rows]


@dataclass(frozen=True)
class _Header:
    """What a .npy file says of its array; its elements begin at the byte ``start``."""

    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    start: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_header(stream: IO[bytes], size: int) -> _Header:
    """Read the header of a .npy file of so many bytes; ValueError if its array is not in them."""
    start = stream.read(len(_MAGIC) + 2)
    if start.startswith(b"PK"):
        raise ValueError("an npz archive, not an array; use --extension npz")
    if start[:-2] != _MAGIC:
        raise ValueError("not an array; write it with numpy.save")
    digits = 2 if start[-2] == 1 else 4  # bytes of the length in versions 1 and 2
    length = int.from_bytes(stream.read(digits), "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"{length} bytes of header are too many")
    text = stream.read(length)
    elements, order, axes = (each.search(text) for each in (_ELEMENTS, _ORDER, _SHAPE))
    if not (elements and order and axes):
        raise ValueError("not an array of numbers but of objects; save it as float32 or uint8")
    header = _Header(
        np.dtype(elements[1].decode()),
        tuple(int(length) for length in axes[1].split(b",") if length.strip()),
        "F" if order[1] == b"True" else "C",
        len(start) + digits + length,
    )
    if header.nbytes > size - header.start:
        shape = f"{header.shape!s:.80}"
        raise ValueError(f"{size} bytes are too few for an array {shape} of {header.dtype}")
    return header


def _load_npy(path: str) -> list[tuple[np.ndarray, str]]:
    """Map the two files of ``path``; return (array, file) for data and labels."""
    found: list[tuple[np.ndarray, str]] = []
    for part, check in _CHECKS.items():
        file = f"{path}_{part}.npy"
        try:
            with _open(file) as stream:
                header = _read_header(stream, os.fstat(stream.fileno()).st_size)
                check(header, file)
                array = np.memmap(
                    stream, header.dtype, "r", header.start, header.shape, header.order
                )
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(file, error) from None
        found.append((array, file))
    return found


def _load_npz(path: str) -> list[tuple[np.ndarray, str]]:
    """Read both arrays of an archive into memory; return (array, place) for data and labels."""
    file = path if path.endswith(".npz") else path + ".npz"
    found = []
    try:
        with _open(file) as stream:
            if stream.read(len(_MAGIC)) == _MAGIC:
                raise ValueError("an array, not an npz archive; use --extension npy")
            archive = zipfile.ZipFile(stream)
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if missing := _CHECKS.keys() - members:
                raise DataError(
                    f"no array called {min(missing)!r}: {file}: save it with "
                    "np.savez(FNAME, data=data, labels=labels)"
                )
            for part, check in _CHECKS.items():
                info, place = members[part], f"{file}[{part}]"
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError("compressed in another way than numpy.savez does")
                with archive.open(info) as member:
                    header = _read_header(member, info.file_size)
                    check(header, place)
                    found.append((_inflate(member, header, file), place))
    except _ZIP_FAULTS as error:
        raise _unreadable(file, error) from None
    return found


def _inflate(member: IO[bytes], header: _Header, file: str) -> np.ndarray:
    """Return the array behind a header; EOFError if the archive holds less of it."""
    with room(header.nbytes, f"the arrays: {file}", _MAPPED):
        array = np.empty(header.shape, header.dtype, header.order)
    left = array.reshape(-1, order="A").view(np.uint8)
    while left.size:
        piece = member.read(min(left.size, _READ_BYTES))
        if not piece:
            raise EOFError("cut short; take another copy")
        left[: len(piece)] = np.frombuffer(piece, np.uint8)
        left = left[len(piece) :]
    if member.read(1):  # reading the end also compares the checksum
        raise ValueError("more bytes than its header tells of")
    return array


def _open(file: str) -> IO[bytes]:
    if is_device(file):
        raise ValueError("a device or pipe, not a file")
    return open(file, "rb")


def _unreadable(file: str, error: Exception) -> DenetError:
    where = os.path.abspath(file)
    if is_out_of_memory(error):
        return OutOfMemoryError(f"no room to map the array: {where}: allow more memory (ulimit -v)")
    if isinstance(error, FileNotFoundError):
        return DataError(f"no such file: {where}: give FNAME of FNAME_data.npy or FNAME.npz")
    what = " ".join(f"{error!s:.{_SHOWN_LENGTH}}".split())
    return DataError(f"cannot read the array: {where}: {what}")


def _check_data(header: _Header, file: str) -> None:
    if len(header.shape) != 4 or 0 in header.shape:
        raise DataError(
            f"shape {header.shape!s:.80}: {file}: save the images as "
            "(samples, channels, height, width)"
        )
    if header.shape[0] > _MAX_SAMPLES:
        raise DataError(
            f"{header.shape[0]} samples: {file}: save {_MAX_SAMPLES} at most in one array"
        )
    if header.dtype not in (np.float32, np.uint8):
        raise DataError(f"{header.dtype} values: {file}: save them as float32 or uint8")


def _check_labels(header: _Header, file: str) -> None:
    if len(header.shape) != 1 or 0 in header.shape:
        raise DataError(f"shape {header.shape!s:.80}: {file}: save the labels as (samples,)")
    if header.dtype.kind not in "iu":
        raise DataError(f"{header.dtype} labels: {file}: save them as int32")


_CHECKS: dict[str, Callable[[_Header, str], None]] = {"data": _check_data, "labels": _check_labels}


def _finite(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each row whether all of its values are finite numbers."""
    finite = np.ones(len(rows), np.bool_)
    if data.dtype != np.uint8:
        step = max(1, _CHUNK // int(np.prod(data.shape[1:])))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            finite[part] = np.isfinite(data[rows[part]]).all(axis=(1, 2, 3))
            _let_go(data)
    return finite
