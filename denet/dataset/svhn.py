"""Street view house numbers: the cropped digits of the MATLAB files that their authors distribute.

SPLIT_32x32.mat holds X (32, 32, 3, n) uint8 (row, column, colour, image) and y (n, 1), where 10
stands for the digit 0.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import numpy as np

from denet.dataset.array import ArrayDataset
from denet.dataset.base import Opening, class_ids
from denet.errors import DataError, DenetError, UsageError
from denet.memory import room

log = logging.getLogger(__name__)

SPLITS = ("train", "extra", "test")
_SIZE = 32 * 32 * 3  # bytes of an image
_COPIES = 2  # of all images in memory: as they lie in the file, and as they are wanted
_DIGITS = [str(digit) for digit in range(10)]


def open_svhn(path: str, kind: str, opening: Opening, splits: Sequence[str] = ()) -> ArrayDataset:
    """Open splits (train, extra, test) of a directory of these files, or one of the files.

    The classes are the digits 0 to 9. Raises DataError for wrong files, UsageError for splits that
    are not there.
    """
    parts = [_read(file) for file in _files(path, splits)]
    images = np.concatenate([part[0] for part in parts]) if len(parts) > 1 else parts[0][0]
    digits = np.concatenate([part[1] for part in parts])
    ids = class_ids(_DIGITS, opening.class_labels, path, opening.class_owner)
    rows = opening.choose(len(images), path)
    known = np.array([ids[digit] for digit in _DIGITS], np.int32)
    dataset = ArrayDataset(list(ids), known[digits[rows]], images, rows)
    log.info("%s: %s", path, dataset.text())
    return dataset


def _files(path: str, splits: Sequence[str]) -> list[str]:
    """Return the files of the splits at ``path``, in their order; DataError, UsageError."""
    if os.path.isfile(path):
        if splits:
            raise UsageError(f"{splits[0]}: {path} is one file: leave the split out")
        return [path]
    known = splits_at(path)
    where = os.path.abspath(path)
    if not known:
        raise DataError(
            f"no SVHN files: {where}: give the directory of train_32x32.mat and test_32x32.mat, or "
            "one such file"
        )
    wrong = next((split for split in splits if split not in known), None)
    if wrong or not splits:
        what = f"no split {wrong!r}" if wrong else "--extension svhn"
        raise UsageError(
            f"{what}: {where} has {', '.join(known)}: name the splits to use, such as "
            f"svhn,{next(iter(known))}"
        )
    return [known[split] for split in dict.fromkeys(splits)]


def splits_at(path: str) -> dict[str, str]:
    """Return the file of each split that lies in a directory."""
    places = {split: os.path.join(path, f"{split}_32x32.mat") for split in SPLITS}
    return {split: file for split, file in places.items() if os.path.isfile(file)}


def _read(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (n, 3, 32, 32) uint8 and digits (n,) of a file; DataError."""
    from scipy.io import loadmat, whosmat

    where = os.path.abspath(file)
    try:
        held = {name: (shape, kind) for name, shape, kind in whosmat(file)}
        shape, kind = held.get("X", ((), ""))
        count = shape[3] if len(shape) == 4 else 0
        labels = held.get("y", ((), ""))[0]
        if shape[:3] != (32, 32, 3) or kind != "uint8" or labels not in ((count, 1), (1, count)):
            raise DataError(
                f"not the cropped digits of SVHN, X (32, 32, 3, n) uint8 and y (n, 1): {where}: "
                "take train_32x32.mat, extra_32x32.mat or test_32x32.mat"
            )
        with room(_COPIES * count * _SIZE, f"{count} images: {where}", "take fewer splits"):
            arrays = loadmat(file, variable_names=["X", "y"])
            images = np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1))
    except DenetError:
        raise
    except Exception as error:  # SciPy's reader raises what it meets in a damaged file
        what = " ".join(f"{error!s:.200}".split())
        raise DataError(f"cannot read {where}: {what}: take another copy") from error
    digits = arrays["y"].reshape(-1)
    if not np.isin(digits, np.arange(1, 11)).all():
        raise DataError(f"labels other than 1 to 10: {where}: take another copy")
    return images, digits.astype(np.int64) % 10
