"""Sets whose splits are files of known names in one directory: which files to read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from denet.errors import DataError, UsageError, nearest_hint

Splits = dict[str, list[Path]]  # the files of each


def files_of(
    path: str,
    kind: str,
    splits: Sequence[str],
    splits_at: Callable[[str], Splits],
    nothing: Callable[[str], str],
) -> list[Path]:
    """Return the files of the splits at ``path``, in their order, or ``path`` if it is a file.

    ``splits_at`` returns those that lie in a directory, ``nothing`` says what to do where none
    does. Raises DataError, UsageError.
    """
    if os.path.isfile(path):
        if splits:
            raise UsageError(f"{splits[0]}: {path} is one file: leave the split out")
        return [Path(path)]
    known = splits_at(path)
    if not known:
        raise DataError(nothing(path))
    where, there = os.path.abspath(path), list(known)
    if wrong := next((split for split in splits if split not in known), None):
        raise UsageError(
            f"no split {wrong!r}{nearest_hint(wrong, there)}: {where} has {', '.join(there)}: name "
            "one of these, or put the missing files there"
        )
    if not splits:
        raise UsageError(
            f"--extension {kind}: no split is named: {where} has {', '.join(there)}: name the "
            f"splits to use, such as {kind},{there[0]}"
        )
    return [file for split in dict.fromkeys(splits) for file in known[split]]


def size_of(file: Path) -> int:
    """Return the bytes of a file of a split. Raises DataError where there is no plain file."""
    try:
        status = file.stat()
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise DataError(f"{what}: {file.absolute()}: take another copy of the data") from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"not a file: {file.absolute()}: take another copy of the data")
    return status.st_size
