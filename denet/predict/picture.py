"""Pictures of images with what a model says of them, as PNG files."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.decode import decode_image, decode_stored, open_image, quiet_pillow
from denet.detect.detections import Detections
from denet.errors import UsageError
from denet.files import atomic_write, make_directory
from denet.predict.classify import Answer
from denet.predict.detect import Found
from denet.predict.image_files import common_directory, picture_stems
from denet.predict.request import Request
from denet.report.detections import Objects, draw_detections
from denet.report.drawing import draw_classes

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

DRAWN = "%s: %d pictures, IMAGE_dets.png"


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
    """The sink that draws the answer to the one image there must be beside it (--draw)."""

    def __init__(self, request: Request, names: Sequence[str]):
        if len(names) != 1 or not Path(names[0]).is_file():
            raise UsageError("--draw: needs one image: give --input one image file")
        self._request = request

    def add(self, answer: Answer) -> None:
        """Draw the image, unless it could not be read."""
        request = self._request
        if not answer.classes or not request.draw:
            return
        with quiet_pillow():
            image = decode_image(answer.name, max_image_pixels=request.max_image_pixels)
        _save(request.draw, draw_classes(image, answer.classes, answer.label, request.font))

    def finish(self) -> None:
        """Nothing is left to do."""


class DrawnFiles:
    """The sink that draws what is found in image files into ``targets``, files by their names.

    ``directory`` is where these are, if it is to be told.
    """

    def __init__(
        self,
        request: Request,
        class_labels: Sequence[str],
        targets: Mapping[str, str | os.PathLike[str]],
        directory: Path | None = None,
    ):
        self._request, self._labels = request, class_labels
        self._targets, self._directory = targets, directory
        self._count = 0

    def add(self, found: Found) -> None:
        """Draw an image."""
        request = self._request
        with quiet_pillow():
            image = decode_image(found.name, max_image_pixels=request.max_image_pixels)
        picture = draw_detections(image, found.objects, self._labels, font_file=request.font)
        _save(self._targets[found.name], picture)
        self._count += 1

    def finish(self) -> None:
        """Tell how many there are."""
        if self._directory:
            log.info(DRAWN, self._directory, self._count)


def draw_dataset(
    files: Sequence[Path],
    dataset: DetectionDataset,
    found: Detections,
    font_file: str | None = None,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> int:
    """Draw each image, but damaged ones, with what is found and known in it, in stored pixels.

    Return how many are drawn.
    """
    names = dataset.image_names
    usable = dataset.usable_images
    for number, own in enumerate(found.by_image(len(names))):
        if not usable[number]:
            continue
        with quiet_pillow():
            image = open_image(names[number], max_image_pixels)
            image, _ = decode_stored(image, *image.size)
        picture = draw_detections(
            image, own, dataset.class_labels, _known(dataset, number), font_file=font_file
        )
        _save(files[number], picture)
    return int(usable.sum())


def _known(dataset: DetectionDataset, number: int) -> Objects:
    """Return the known objects of an image."""
    own = dataset.boxes.of(number)
    notes = ["difficult" if each else "" for each in dataset.difficult[own]]
    return Objects(dataset.box_class[own], dataset.boxes_px[own], notes)


def _save(target: str | os.PathLike[str], picture: Image) -> None:
    with atomic_write(target) as temporary:
        picture.save(temporary, format="png")
