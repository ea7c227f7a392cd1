"""What a report tells of a run: what its files hold, its data, and what its model makes of a test.

Everything may be missing: a report shows what there is, and in ``notes`` what there is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


class Setting(NamedTuple):
    """An option of a run, its value and its default as they would be typed."""

    name: str
    value: str
    default: str


class FileRecord(NamedTuple):
    """A file of a run."""

    name: str
    size: int  # bytes
    sha256: str


class Box(NamedTuple):
    """A box of a picture, its colour "#rrggbb", and what to say of it."""

    sides: tuple[float, float, float, float]  # pixels of the image, before it was made smaller
    colour: str
    words: str


@dataclass(frozen=True)
class Scene:
    """A picture with boxes, shown once for each panel: {title: boxes}."""

    image: Image
    size: tuple[int, int]  # width and height that boxes are in
    caption: Sequence[str]  # lines
    panels: Mapping[str, Sequence[Box]] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """A set of images: what it is, images or objects of each class, and some of them."""

    title: str
    words: str
    counts: Mapping[str, int]
    counted: str  # what counts are of: images, objects
    samples: Sequence[Scene] = ()
    key: Mapping[str, str] = field(default_factory=dict)  # {class: colour of its boxes}


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a test set.

    numbers    per cents by their names
    header     of a table with a row for each class
    matrix     counts of a true class (row) by answer (column), with the names of both
    sizes      of objects: rows of ObjectErrors.sizes
    key        {what boxes of ``mistakes`` are: colour}, answers_key those of ``answers``
    """

    words: str
    numbers: Mapping[str, float]
    header: Sequence[str]
    classes: Sequence[Sequence[object]]
    matrix: np.ndarray
    rows: Sequence[str]
    columns: Sequence[str]
    mistakes: Sequence[Scene]
    mistakes_words: str
    sizes: Sequence[tuple[int, int, int]] = ()
    key: Mapping[str, str] = field(default_factory=dict)
    answers: Sequence[Scene] = ()
    answers_key: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """One training. ``metrics`` are the columns of its table, ``summary`` tells its model."""

    name: str
    settings: list[Setting] = field(default_factory=list)
    environment: list[tuple[str, str]] = field(default_factory=list)
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[FileRecord] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    data: list[DataSet] = field(default_factory=list)
    evaluation: Evaluation | None = None
    notes: list[str] = field(default_factory=list)

    def setting(self, name: str) -> str:
        """Return the value of an option, "" where it is not known."""
        return next((each.value for each in self.settings if each.name == name), "")
