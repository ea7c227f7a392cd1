"""Detect objects in loose image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample
from denet.detect.detections import Detections
from denet.evaluate.detector import Detector, in_pixels
from denet.predict.image_files import ContainedFiles


class Found(NamedTuple):
    """What a model finds in one image."""

    name: str  # the file as it was given, or the dataset's name for the image
    objects: Detections  # in pixels of the image, the best first


def detect_files(
    detector: Detector,
    paths: Sequence[str],
    bad: list[BadSample],
    thread_num: int | None = 1,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Iterator[Found]:
    """Yield what is found in each image file, in its upright pixels.

    Those that cannot be read go to ``bad``.
    """
    model = detector.model
    files = ContainedFiles(paths, model.class_labels, model.input_shape, max_image_pixels)
    loader = detector.loader(files, thread_num)
    for batch, found in detector.batches(loader.epoch(0), files.names):
        sizes = files.sizes[batch.indices]
        found = in_pixels(found, batch.targets["view"], detector.input_size, sizes)
        for row, each in enumerate(found.by_image(len(sizes))):
            if sizes[row].any():
                yield Found(paths[batch.indices[row]], each)
    bad += sorted(files.bad)
