"""Street view house numbers: the cropped digits of the MATLAB files that their authors distribute.

SPLIT_32x32.mat holds X (32, 32, 3, n) uint8 (row, column, colour, image) and y (n, 1), where 10
stands for the digit 0.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from denet.dataset.base import Opening
from denet.dataset.class_names import class_ids
from denet.dataset.classes.array import ArrayDataset
from denet.dataset.classes.split_files import Splits, files_of, size_of
from denet.errors import DataError, DenetError
from denet.memory import room

log = logging.getLogger(__name__)

SPLITS = ("train", "extra", "test")
_SIZE = 32 * 32 * 3  # bytes of an image
_COPIES = 2  # of all images in memory: as they lie in the file, and as they are wanted
_BITS = (8, 16, 32, 64)
_NUMBERS = ("single", "double", *(f"{sign}int{bits}" for sign in ("", "u") for bits in _BITS))
_DIGITS = [str(digit) for digit in range(10)]


def open_svhn(path: str, kind: str, opening: Opening, splits: Sequence[str] = ()) -> ArrayDataset:
    """Open splits (train, extra, test) of a directory of these files, or one of the files.

    The classes are the digits 0 to 9. Raises DataError for wrong files, UsageError for splits that
    are not there.
    """
    files = files_of(path, kind, splits, splits_at, _nothing)
    for file in files:
        size_of(file)  # raises, before all are read
    parts = [_read(str(file)) for file in files]
    images = np.concatenate([part[0] for part in parts]) if len(parts) > 1 else parts[0][0]
    digits = np.concatenate([part[1] for part in parts])
    ids = class_ids(_DIGITS, opening.class_labels, path, opening.class_owner)
    rows = opening.choose(len(images), path)
    known = np.array([ids[digit] for digit in _DIGITS], np.int32)
    dataset = ArrayDataset(list(ids), known[digits[rows]], images, rows)
    log.info("%s: %s", path, dataset.text())
    return dataset


def splits_at(path: str) -> Splits:
    """Return the file of each split that lies in a directory; reading it tells what it is."""
    places = {split: Path(path, f"{split}_32x32.mat") for split in SPLITS}
    return {split: [file] for split, file in places.items() if os.path.lexists(file)}


def _nothing(path: str) -> str:
    return (
        f"no SVHN files: {os.path.abspath(path)}: give the directory of train_32x32.mat and "
        "test_32x32.mat, or one such file"
    )


def _read(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 3, 32, 32) uint8 and digits (n,) of a file; DataError."""
    from scipy.io import loadmat, whosmat

    where = os.path.abspath(file)
    try:
        held = {name: (shape, kind) for name, shape, kind in whosmat(file)}
        shape, kind = held.get("X", ((), ""))
        count = shape[3] if shape[:3] == (32, 32, 3) and len(shape) == 4 else 0
        if count and kind == "uint8" and "y" not in held:
            raise DataError(f"X but no y, the digits: {where}: cut short: take another copy")
        labels, numbers = held.get("y", ((), ""))
        alike = labels in ((count, 1), (1, count)) and numbers in _NUMBERS
        if not count or kind != "uint8" or not alike:
            raise DataError(
                f"not the cropped digits of SVHN, X (32, 32, 3, n) uint8 and y (n, 1): {where}: "
                "take train_32x32.mat, extra_32x32.mat or test_32x32.mat"
            )
        with room(_COPIES * count * _SIZE, f"{count} images: {where}", "take fewer splits"):
            arrays = loadmat(file, variable_names=["X", "y"])
            images = np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1))
    except DenetError:
        raise
    except NotImplementedError as error:  # a file of HDF5
        raise DataError(
            f"a file of MATLAB 7.3: {where}: save it anew: save('NAME.mat', 'X', 'y', '-v7')"
        ) from error
    except Exception as error:  # SciPy's reader raises what it meets in a damaged file
        what = " ".join(f"{error!s:.200}".split())
        raise DataError(f"cannot read {where}: {what}: take another copy") from error
    digits = arrays["y"].reshape(-1)
    if not np.isin(digits, np.arange(1, 11)).all():
        raise DataError(f"labels other than 1 to 10: {where}: take another copy")
    return images, digits.astype(np.int64) % 10
