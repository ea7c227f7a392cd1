"""Sets whose splits are files of known names in one directory: which files to read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from denet.errors import DataError, UsageError

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
    wrong = next((split for split in splits if split not in known), None)
    if wrong or not splits:
        what = f"no split {wrong!r}" if wrong else f"--extension {kind}: no split is named"
        raise UsageError(
            f"{what}: {os.path.abspath(path)} has {', '.join(known)}: name the splits to use, such "
            f"as {kind},{next(iter(known))}"
        )
    return [file for split in dict.fromkeys(splits) for file in known[split]]
