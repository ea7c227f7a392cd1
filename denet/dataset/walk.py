"""Going through directories that strangers have filled: links may lead anywhere."""

from __future__ import annotations

import logging
import os

from denet.errors import DataError

log = logging.getLogger(__name__)


def directories_in(path: str) -> list[str]:
    """Return the sorted names of the directories in ``path`` but hidden ones.

    There are none in what is no directory, or cannot be listed.
    """
    try:
        return [entry.name for entry in _entries(path) if _is_directory(entry)]
    except OSError:
        return []


def files_below(path: str) -> dict[str, list[str]]:
    """Return the files below each directory in ``path``, "" for those beside them, no hidden ones.

    Each real directory is gone through once, on the shortest way to it, the first by name of these:
    links between a few directories make more ways than anyone could go. Nothing is taken from
    trees without a disk, as /proc is, that lie on the way. Raises DataError.
    """
    files: dict[str, list[str]] = {"": []}
    seen: set[tuple[int, int]] = set()
    passed: list[str] = []
    level = [("", path)]
    try:
        device = os.stat(path).st_dev
        while level:
            below = []
            for top, directory in level:
                status = os.stat(directory)
                place = status.st_dev, status.st_ino
                if place in seen or (status.st_dev != device and _is_diskless(directory)):
                    passed.append(directory)
                    continue
                seen.add(place)
                for entry in _entries(directory):
                    if _is_directory(entry):
                        below.append((top or entry.name, entry.path))
                        files.setdefault(top or entry.name, [])
                    else:
                        files[top].append(entry.path)
            level = below
    except OSError as error:
        where = os.fspath(error.filename or path)
        raise DataError(f"cannot list the directory: {where}: {error.strerror}") from None
    if passed:
        log.warning(
            "%s: directories passed over, read elsewhere or on no disk: %d, such as %s",
            *(path, len(passed), passed[0]),
        )
    return files


def _entries(path: str) -> list[os.DirEntry[str]]:
    """Return what lies in a directory by name, without hidden names."""
    with os.scandir(path) as entries:
        return sorted(
            (entry for entry in entries if not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Say whether this is a directory or a link to one; a link that leads nowhere is a file."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or through what may not be entered
        return False


def _is_diskless(path: str) -> bool:
    """Say whether a directory is in a file system that stores nothing: /proc, /sys and their like.

    They are endless: what stands there is made while one looks, and leads to everywhere else.
    """
    return hasattr(os, "statvfs") and os.statvfs(path).f_blocks == 0  # Windows has neither
