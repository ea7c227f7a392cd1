"""The parts of a set of images with boxes: which to train on, and a share of one set."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

import numpy as np

from denet.errors import DataError, UsageError, nearest_hint

TRAIN, TEST = "train", "test"  # the parts that a share makes
SHARE = 0.8  # to train on, of one set that is also tested on
# letters of the name of a split -> what it is for
_ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "minival", "dev"), "val"),
    "trainval": "trainval",
    **dict.fromkeys(("test", "testing", "testdev"), "test"),
}
ROLES = list(dict.fromkeys(_ROLES.values()))
FOLDERS = frozenset(_ROLES)  # names, in small letters, of folders that are splits


def role(name: str) -> str:
    """Return what a split such as val, 2007-trainval or train2017 is for, "" if that is unknown."""
    return _ROLES.get(re.sub(r"[^a-z]", "", name.lower()), "")


def choose(known: Sequence[str], training: bool) -> list[str]:
    """Return the splits to train on, or those to test on: test, else val. One serves for both.

    Raises UsageError if their names do not tell.
    """
    if len(known) < 2:
        return [*known]
    wanted = ("trainval", "train") if training else ("test", "val")
    by_role = ([name for name in known if role(name) == each] for each in wanted)
    if found := next(filter(None, by_role), []):
        return found
    raise UsageError(
        f"--extension auto: which splits to {'train' if training else 'test'} on? It has "
        f"{', '.join(known[:10])}: name them, such as auto,{known[0]}"
    )


def check_splits(splits: Sequence[str], known: Sequence[str], path: str, kind: str) -> None:
    """Raise unless there are splits of these names: UsageError for none where there are some."""
    where = os.path.abspath(path)
    if known and not splits:
        raise UsageError(
            f"{kind}: --extension: name the splits to use, such as {kind},{known[0]}: {where} has "
            f"{', '.join(known[:10])}"
        )
    for split in splits:
        if split not in known:
            there = f"{where} has {', '.join(known[:10]) or 'none: it is one set'}"
            raise DataError(
                f"no split {split!r}{nearest_hint(split, [*known])}: {there}: see the options in "
                "docs/detection.md"
            )


def share_rows(names: Sequence[str], path: str, share: float, seed: int, part: str) -> np.ndarray:
    """Return the ascending rows of the images ``names`` in the part "train", a share, or "test".

    Each image goes by a hash of ``seed`` and its path within ``path``, so that it stays where it is
    when others come or go, or the whole set moves. Neither part is empty.
    """
    if len(names) < 2:
        raise DataError(f"{len(names)} images cannot be divided: {os.path.abspath(path)}")
    places = (os.path.relpath(name, path).replace(os.sep, "/") for name in names)
    digests = (
        hashlib.blake2b(f"{seed} {place}".encode("utf-8", "backslashreplace"), digest_size=8)
        for place in places
    )
    drawn = np.array([int.from_bytes(each.digest(), "big") / 2**64 for each in digests])
    number = int(np.clip((drawn < share).sum(), 1, len(names) - 1))
    first = np.argsort(drawn, kind="stable")
    return np.sort(first[:number] if part == TRAIN else first[number:])
