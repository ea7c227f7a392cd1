"""What is found in unlabelled images as a dataset: boxes to correct in a labelling tool.

It is read as any other dataset is. Photos are copied; one that its file turns, or that is no file,
is written upright, so that all tools agree where its boxes are.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from denet.errors import UsageError
from denet.files import atomic_text, atomic_write, make_directory
from denet.predict.detect import Found
from denet.predict.image_files import common_directory, picture_stems
from denet.predict.loose import Loose
from denet.printable import counted

log = logging.getLogger(__name__)

SPLIT = "all"  # of MSCOCO
_QUALITY = 95  # of JPEGs


@dataclass(frozen=True)
class Labelled:
    """An image of the new dataset: its file there without directory, and what is found in it."""

    file: str
    found: Found

    @property
    def stem(self) -> str:
        """The name of the file without its suffix."""
        return os.path.splitext(self.file)[0]


@dataclass(frozen=True)
class Layout:
    """Where photos go, what is written for each image and for all, and how it is read again."""

    photos: str
    each: Callable[[Path, Labelled, Sequence[str]], None]
    end: Callable[[Path, Sequence[Labelled], Sequence[str]], None]
    extension: str


class LabelFiles:
    """The sink that makes a dataset of a layout in LAYOUTS of loose images, in a directory.

    Raises UsageError for a directory that holds files: labels there may have been corrected.
    """

    def __init__(
        self,
        layout: str,
        directory: str | os.PathLike[str],
        loose: Loose,
        class_labels: Sequence[str],
        least_score: float,
    ):
        self._layout, self._loose, self._labels = LAYOUTS[layout], loose, class_labels
        self._directory, self._least_score = Path(directory), least_score
        if self._directory.is_dir() and os.listdir(directory):
            raise UsageError(
                f"--results: {os.fspath(directory)}: it holds files, labels among them may have "
                "been corrected: give a new directory"
            )
        self._stems = _flat_stems(loose.names)
        self._made: list[Labelled] = []
        make_directory(self._directory / self._layout.photos)

    def add(self, found: Found) -> None:
        """Write an image and its labels."""
        made = Labelled(self._photo(found.index), found.of_score(self._least_score))
        self._layout.each(self._directory, made, self._labels)
        self._made.append(made)

    def finish(self) -> None:
        """Write what is of all images, and tell how the dataset is read."""
        self._layout.end(self._directory, self._made, self._labels)
        boxes = counted(sum(len(each.found.objects) for each in self._made), "box")
        log.info(
            "%s: %s with %s of a score of %g or more, read by --extension %s",
            *(self._directory, counted(len(self._made), "image"), boxes),
            *(self._least_score, self._layout.extension),
        )

    def _photo(self, index: int) -> str:
        """Copy a photo; return its file there."""
        source, stem = self._loose.upright_file(index), self._stems[index]
        file = f"{stem}{os.path.splitext(source)[1] if source else '.jpg'}"
        with atomic_write(self._directory / self._layout.photos / file) as temporary:
            if source:
                shutil.copyfile(source, temporary)
            else:
                image = self._loose.image(index)
                image.save(temporary, format="jpeg", quality=_QUALITY, subsampling=0)
        return file


def _flat_stems(names: Sequence[str]) -> list[str]:
    """Return a name for each image, all different whatever the suffixes of their files."""
    below = picture_stems(names, common_directory(names))
    flat = [os.path.splitext(each)[0].replace(os.sep, "_") for each in below]
    if len(set(flat)) == len(flat):
        return flat
    return [f"{number:06d}_{stem}" for number, stem in enumerate(flat)]


def _write_voc(directory: Path, made: Labelled, class_labels: Sequence[str]) -> None:
    """Write Annotations/STEM.xml, corners in whole pixels counted from 1, both in the box.

    They are never the same pixel, which would be a click.
    """
    tree = ElementTree.Element("annotation")
    _elements(tree, {"folder": "JPEGImages", "filename": made.file})
    width, height = made.found.size
    _elements(tree, {"size": {"width": width, "height": height, "depth": 3}, "segmented": 0})
    for _, class_index, _, box in made.found.objects.rows():
        x0, y0, x1, y1 = map(round, box)
        low = max(min(x0 + 1, width - 1), 1), max(min(y0 + 1, height - 1), 1)
        corners = (*low, max(x1, low[0] + 1), max(y1, low[1] + 1))
        names = ("xmin", "ymin", "xmax", "ymax")
        thing: dict[str, Any] = {"name": class_labels[class_index], "pose": "Unspecified"}
        thing |= {"truncated": 0, "difficult": 0, "bndbox": dict(zip(names, corners, strict=True))}
        _elements(tree, {"object": thing})
    ElementTree.indent(tree)
    _write(directory / "Annotations" / f"{made.stem}.xml", ElementTree.tostring(tree, "unicode"))


def _elements(parent: ElementTree.Element, values: dict[str, Any]) -> None:
    """Append an element for each name."""
    for name, value in values.items():
        child = ElementTree.SubElement(parent, name)
        if isinstance(value, dict):
            _elements(child, value)
        else:
            child.text = str(value)


def _end_voc(directory: Path, made: Sequence[Labelled], class_labels: Sequence[str]) -> None:
    _write(directory / "labels.txt", "\n".join(class_labels))


def _write_yolo(directory: Path, made: Labelled, class_labels: Sequence[str]) -> None:
    """Write labels/STEM.txt: class id, centre x and y, width, height as parts of the image."""
    width, height = made.found.size
    lines = []
    for _, class_index, _, (x0, y0, x1, y1) in made.found.objects.rows():
        numbers = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width
        lines.append(" ".join(map(_part, (*numbers, (y1 - y0) / height))))
        lines[-1] = f"{class_index} {lines[-1]}"
    _write(directory / "labels" / f"{made.stem}.txt", "\n".join(lines))


def _part(number: float) -> str:
    return f"{number:.6f}"


def _end_yolo(directory: Path, made: Sequence[Labelled], class_labels: Sequence[str]) -> None:
    """Write data.yaml; other tools want a val in it too, here all that there is."""
    names = [f"  {index}: {json.dumps(name)}" for index, name in enumerate(class_labels)]
    _write(
        directory / "data.yaml",
        "\n".join(["path: .", "train: images", "val: images", "names:", *names]),
    )


def _no_file(directory: Path, made: Labelled, class_labels: Sequence[str]) -> None:
    """MSCOCO has one file for all images."""


def _end_coco(directory: Path, made: Sequence[Labelled], class_labels: Sequence[str]) -> None:
    """Write annotations/instances_all.json, boxes x, y, width, height in pixels from 0."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, each in enumerate(made, 1):
        width, height = each.found.size
        images.append({"id": image_id, "file_name": each.file, "width": width, "height": height})
        for _, class_index, score, (x0, y0, x1, y1) in each.found.objects.rows():
            box = [round(side, 2) for side in (x0, y0, x1 - x0, y1 - y0)]
            row = {"id": len(annotations) + 1, "image_id": image_id, "bbox": box}
            row |= {"category_id": class_index + 1, "area": round(box[2] * box[3], 2)}
            annotations.append(row | {"iscrowd": 0, "score": round(score, 4)})
    categories = [{"id": number, "name": name} for number, name in enumerate(class_labels, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    _write(directory / "annotations" / f"instances_{SPLIT}.json", json.dumps(content))


def _write(path: Path, text: str) -> None:
    make_directory(path.parent)
    with atomic_text(path) as file:
        file.write(f"{text}\n" if text else "")


LAYOUTS = {
    "voc": Layout("JPEGImages", _write_voc, _end_voc, "voc"),
    "coco": Layout(SPLIT, _no_file, _end_coco, f"mscoco,{SPLIT}"),
    "yolo": Layout("images", _write_yolo, _end_yolo, "yolo,train"),
}
