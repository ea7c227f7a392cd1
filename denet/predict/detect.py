"""Detect objects in loose image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample
from denet.detect.detections import Detections
from denet.evaluate.detector import Detector, in_pixels
from denet.predict.image_files import ContainedFiles


def detect_files(
    detector: Detector,
    paths: Sequence[str],
    bad: list[BadSample],
    thread_num: int | None = 1,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Iterator[tuple[str, Detections]]:
    """Yield each image file with what is found in it, in its upright pixels, the best first.

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
                yield paths[batch.indices[row]], each
    bad += sorted(files.bad)
