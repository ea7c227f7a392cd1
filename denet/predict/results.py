"""Where the files of answers go."""

from __future__ import annotations

import os
from pathlib import Path

from denet.errors import UsageError
from denet.files import make_directory

RESULTS = "results"  # directory where --results is not given
NAME = "results"  # of NAME.json where --results gives a directory only


def results(given: str | None) -> str:
    """Return what --results says, else the directory RESULTS.

    Raises UsageError where that one holds files, which nobody asked to write over.
    """
    if given:
        return given
    if os.path.isdir(RESULTS) and os.listdir(RESULTS):
        raise UsageError(
            f"--results: the directory {RESULTS} holds files: give another, or --results "
            f"{RESULTS}{os.sep} to write over those of the same names"
        )
    return RESULTS + os.sep


def results_prefix(given: str | None) -> Path:
    """Return DIR/NAME of --results, DIR/results where it gives a directory only, and make DIR."""
    place = results(given)
    prefix = Path(place, NAME if place.endswith(os.sep) or os.path.isdir(place) else "")
    make_directory(prefix.parent)
    return prefix
