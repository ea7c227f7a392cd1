"""MS COCO: annotations/instances_SPLIT.json, and its images in SPLIT/.

Published splits are called 2014-train or 2015-test-dev in 2017's way, for train2014 and
test-dev2015; any other name is taken as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from denet.dataset.boxes.annotated import Annotated
from denet.dataset.boxes.coco_json import Part, join_parts, read_part
from denet.dataset.layout import nothing_at
from denet.errors import DataError, UsageError, nearest_hint

_YEAR_SPLIT = re.compile(r"(\d{4})-(train|val|test|test-dev)")
_FILE = re.compile(r"(?:instances|image_info)_(.+)\.json")


def seen(path: str) -> str:
    """Return what tells of this layout at ``path``."""
    return ", ".join(f"annotations/..._{name}.json" for name in split_names(path)[:3])


def split_names(path: str) -> list[str]:
    """Return the splits that there are annotations of, as ``--extension`` names them."""
    return _known(os.path.join(path, "annotations"))


def read(path: str, splits: Sequence[str]) -> Annotated:
    """List the images of the splits in the order of their files, with their boxes.

    Boxes are (x, y, x + width, y + height), counted from 0. The classes are those of labels.txt,
    else the categories in order of appearance, whatever their numbers.
    """
    folder = os.path.join(path, "annotations")
    if not _known(folder):
        raise nothing_at(path, "annotations/instances_*.json")
    if not splits:
        raise UsageError(
            f"mscoco: --extension: name the splits to use, such as mscoco,2014-train: {folder} "
            f"has {', '.join(_known(folder))}"
        )
    parts = [_read_split(path, folder, split) for split in splits]
    return join_parts(path, parts, published=all(map(_YEAR_SPLIT.fullmatch, splits)))


def _known(folder: str) -> list[str]:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(match[1] for match in map(_FILE.fullmatch, names) if match)


def _read_split(path: str, folder: str, split: str) -> Part:
    match = _YEAR_SPLIT.fullmatch(split)
    name = match[2] + match[1] if match else split
    places = [os.path.join(folder, f"{kind}_{name}.json") for kind in ("instances", "image_info")]
    file = next(filter(os.path.isfile, places), None)
    if file is None:
        known = _known(folder)
        raise DataError(
            f"no annotations for {split!r}{nearest_hint(name, known)}: no such file "
            f"{os.path.abspath(places[0])}: there are {', '.join(known)}; see the "
            "options in docs/detection.md"
        )
    return read_part(file, lambda names: _image_folder(path, name, names))


def _image_folder(path: str, name: str, files: Sequence[str]) -> str:
    """Return the folder of a split's images: the first of the usual ones that holds one."""
    own = name.replace("-dev", "")  # test-dev2015 is a part of test2015
    usual = [os.path.join(path, own), os.path.join(path, "images", own)]
    usual += [os.path.join(path, "images"), path]
    return next(
        (each for each in usual if any(os.path.isfile(os.path.join(each, f)) for f in files[:100])),
        usual[0],
    )
