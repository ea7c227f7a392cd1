"""COCO as Roboflow exports it: _annotations.coco.json beside the images of each split."""

from __future__ import annotations

import os
from collections.abc import Sequence

from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.coco_json import Part, join_parts, read_part
from denet.dataset.boxes.splits import check_splits
from denet.dataset.layout import nothing_at
from denet.dataset.walk import directories_in

_FILE = "_annotations.coco.json"


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``."""
    if os.path.isfile(os.path.join(path, _FILE)):
        return _FILE
    return ", ".join(f"{name}/{_FILE}" for name in split_names(path)[:3])


def split_names(path: str) -> list[str]:
    """Return the folders with annotations; none where they are in ``path`` itself."""
    if os.path.isfile(os.path.join(path, _FILE)):
        return []
    names = directories_in(path)
    return [name for name in names if os.path.isfile(os.path.join(path, name, _FILE))]


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits in the order of their files, with their boxes.

    Boxes are as in MSCOCO. A category that no object has and that is only above others, the name
    of the project, is no class.
    """
    if not seen(path):
        raise nothing_at(path, _FILE)
    check_splits(splits, split_names(path), path, "roboflow")
    folders = [os.path.join(path, split) for split in splits] or [path]
    parts = [_read(folder) for folder in folders]
    above = {name for part in parts for name in part.above} - {
        name for part in parts for name in _shown(part)
    }
    kept = [part.without(above) for part in parts]
    return join_parts(path, kept)


def _read(folder: str) -> Part:
    return read_part(os.path.join(folder, _FILE), lambda names: folder)


def _shown(part: Part) -> set[str]:
    """Return the categories that have objects."""
    names = list(part.categories)
    return {names[position] for position in set(part.category.tolist())}
