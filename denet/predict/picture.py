"""Pictures of images with what a model says of them, as PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.decode import decode_image, decode_stored, open_image, quiet_pillow
from denet.detect.detections import Detections
from denet.errors import UsageError
from denet.files import atomic_write, make_directory
from denet.predict.classify import Answer
from denet.predict.image_files import common_directory, picture_stems
from denet.report.detections import Objects, draw_detections
from denet.report.drawing import draw_classes

if TYPE_CHECKING:
    from PIL.Image import Image


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


def draw_answer(
    target: str | os.PathLike[str],
    answer: Answer,
    font_file: str | None = None,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> None:
    """Draw the image file of an answer beside its classes."""
    with quiet_pillow():
        image = decode_image(answer.name, max_image_pixels=max_image_pixels)
    _save(target, draw_classes(image, answer.classes, answer.label, font_file))


def draw_file(
    target: str | os.PathLike[str],
    path: str,
    found: Detections,
    class_labels: Sequence[str],
    font_file: str | None = None,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> None:
    """Draw an image file with what is found in it, in its upright pixels."""
    with quiet_pillow():
        image = decode_image(path, max_image_pixels=max_image_pixels)
    _save(target, draw_detections(image, found, class_labels, font_file=font_file))


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
