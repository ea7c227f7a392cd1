"""Names of classes: which number each has, and how lists of them are told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from denet.errors import DataError, nearest_hint
from denet.printable import printable

_NUMBERED = re.compile(r"class \d+")  # a class that has no name


class ForeignClassError(DataError):
    """Classes of a dataset that a model, or the training set, does not have."""


def class_ids(
    found: Sequence[str], wanted: Sequence[str] | None, where: str, owner: str = ""
) -> dict[str, int]:
    """Return class name -> id: positions in ``wanted``, else in ``found``.

    Raises ForeignClassError for a class of the data that ``wanted`` does not hold; it shows how the
    two lists differ, and what ``owner`` ("the model") has the wanted ones.
    """
    known = list(found if wanted is None else wanted)
    ids = {name: index for index, name in enumerate(known)}
    foreign = [name for name in found if name not in ids]
    if foreign:
        more = f" (nor are {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        classes = f"classes of {owner}" if owner else "known classes"
        missing = sorted(ids.keys() - found, key=ids.__getitem__)
        place = f"in {owner}" if owner else "there"
        only = f"; only {place}: {names_text(missing)}" if missing else ""
        told = f"class {foreign[0]!r} is not one of the {len(known)} {classes}{more}"
        if all(map(_NUMBERED.fullmatch, known)):
            raise ForeignClassError(
                f"{told}, which are mere numbers: {where}: name them: model-modify --class-labels "
                "FILE"
            )
        raise ForeignClassError(
            f"{told}: {where}: only here: {names_text(foreign)}{only}: "
            f"rename it{nearest_hint(foreign[0], known)} or remove it"
        )
    return ids


def names_text(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(printable, names[:5])) + more
