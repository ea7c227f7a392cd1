"""Pictures of images with what a model says of them, as PNG files."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.detect.detections import Detections
from denet.errors import UsageError
from denet.files import atomic_write, make_directory
from denet.predict.classify import Answer
from denet.predict.detect import Found
from denet.predict.detect_report import upright_image
from denet.predict.image_files import common_directory, picture_stems
from denet.predict.loose import Loose
from denet.predict.request import Request
from denet.printable import counted
from denet.report.detections import Objects, draw_detections
from denet.report.drawing import draw_classes

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

DRAWN = "%s: %s, IMAGE_dets.png"


def picture_files(directory: Path, paths: Sequence[str]) -> list[Path]:
    """Return where the picture of each image file goes, STEM_dets.png; make directories for them.

    Those are below ``directory`` as the images are below the directory that holds them all. Raises
    UsageError where a picture would take the place of an image, DataError for a directory that
    cannot be made.
    """
    stems = picture_stems(paths, common_directory(paths))
    files = [directory / f"{stem}_dets.png" for stem in stems]
    if taken := {os.path.abspath(path) for path in paths}.intersection(map(os.path.abspath, files)):
        raise UsageError(
            f"--results: {min(taken)}: it is one of the images: give another directory"
        )
    for parent in {file.parent for file in files}:
        make_directory(parent)
    return files


class DrawnAnswer:
    """The sink that draws the answer beside the one image that there must be (--draw)."""

    def __init__(self, request: Request, loose: Loose | None):
        self._request, self._loose = request, check_one(loose)

    def add(self, answer: Answer) -> None:
        """Draw the image, unless it could not be read."""
        if answer.classes and self._request.draw:
            image, font = self._loose.image(0), self._request.font
            picture = draw_classes(image, answer.classes, answer.label, font)
            _save(self._request.draw, picture)

    def finish(self) -> None:
        """Nothing is left to do."""


class DrawnFiles:
    """The sink that draws what is found in loose images, each into its own of ``targets``.

    ``directory`` is where these are, if it is to be told.
    """

    def __init__(
        self,
        request: Request,
        loose: Loose,
        class_labels: Sequence[str],
        targets: Sequence[str | os.PathLike[str]],
        directory: Path | None = None,
    ):
        self._request, self._loose, self._labels = request, loose, class_labels
        self._targets, self._directory = targets, directory
        self._count = 0

    def add(self, found: Found) -> None:
        """Draw an image."""
        image, font = self._loose.image(found.index), self._request.font
        settings = None, self._request.shown_score, font
        picture = draw_detections(image, found.objects, self._labels, *settings)
        _save(self._targets[found.index], picture)
        self._count += 1

    def finish(self) -> None:
        """Tell how many there are."""
        if self._directory:
            log.info(DRAWN, self._directory, counted(self._count, "picture"))


def check_one(loose: Loose | None) -> Loose:
    """Return the loose images if there is one, as --draw needs it; raise UsageError."""
    if loose is None or len(loose) != 1:
        raise UsageError("--draw: needs one image: give --input one image file")
    return loose


def draw_dataset(
    files: Sequence[Path], dataset: DetectionDataset, found: Detections, request: Request
) -> int:
    """Draw each image, but damaged ones, with what is found and known in it; return how many."""
    names, labels = dataset.image_names, dataset.class_labels
    usable = dataset.usable_images
    for number, own in enumerate(found.by_image(len(names))):
        if not usable[number]:
            continue
        image = upright_image(names[number], request.max_image_pixels)
        settings = _known(dataset, number), request.shown_score, request.font
        _save(files[number], draw_detections(image, own, labels, *settings))
    return int(usable.sum())


def _known(dataset: DetectionDataset, number: int) -> Objects:
    """Return the known objects of an image."""
    own = dataset.boxes.of(number)
    notes = ["difficult" if each else "" for each in dataset.difficult[own]]
    return Objects(dataset.box_class[own], dataset.boxes_px[own], notes)


def _save(target: str | os.PathLike[str], picture: Image) -> None:
    with atomic_write(target) as temporary:
        picture.save(temporary, format="png")
