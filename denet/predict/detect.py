"""Detect objects in loose images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from denet.dataset.base import BadSample
from denet.dataset.image.options import Size
from denet.detect.detections import Detections, joined
from denet.evaluate.detector import Detector, in_pixels, suppressed
from denet.predict.image_files import ContainedFiles
from denet.predict.loose import Loose
from denet.predict.tiles import Tiles, clipped, whole_objects


@dataclass(frozen=True)
class Found:
    """What a model finds in one image."""

    name: str  # the file as it was given, or the dataset's name for the image
    objects: Detections  # in pixels of the image, the best first
    index: int  # of the image
    size: Size  # (width, height) of the image

    def of_score(self, least: float) -> Found:
        """Return the same without what has a lower score."""
        return replace(self, objects=self.objects.take(self.objects.score >= least))


def detect_images(
    detector: Detector,
    loose: Loose,
    bad: list[BadSample],
    thread_num: int | None = 1,
    tiles: Tiles | None = None,
) -> Iterator[Found]:
    """Yield what is found in each image, in its upright pixels.

    With ``tiles`` that is what is found in all of them, compared over the whole image. Images that
    cannot be read go to ``bad``.
    """
    model = detector.model
    files = ContainedFiles(loose, model.class_labels, model.input_shape, tiles)
    # what a tile shows twice goes at once; scores that are lowered are so over the whole image only
    suppress = tiles is None or not detector.params.use_soft_nms
    samples = _found_in_samples(detector, files, thread_num, suppress)
    for index, group in groupby(samples, lambda each: int(files.image[each[0]])):
        parts = [(found, np.tile(files.part[sample], (len(found), 1))) for sample, found in group]
        width, height = files.sizes[index].tolist()
        if width:
            objects = _compared(parts, (width, height), detector) if tiles else parts[0][0]
            yield Found(loose.names[index], objects, index, (width, height))
    bad += sorted(files.bad)


def _found_in_samples(
    detector: Detector, files: ContainedFiles, thread_num: int | None, suppress: bool
) -> Iterator[tuple[int, Detections]]:
    """Yield each sample with what is found in it, in pixels of its image."""
    loader = detector.loader(files, thread_num)
    for batch, found in detector.batches(loader.epoch(0), files.names, suppress):
        samples = batch.indices
        sizes = files.sizes[files.image[samples]]
        found = in_pixels(found, batch.targets["view"], detector.input_size, sizes)
        found = clipped(found, files.part[samples][found.image])
        yield from zip(samples.tolist(), found.by_image(len(samples)), strict=True)


def _compared(
    parts: Sequence[tuple[Detections, np.ndarray]], size: Size, detector: Detector
) -> Detections:
    """Return what was found in parts (d, 4) of an image of this size, each object once."""
    found = joined([each for each, _ in parts])
    found = replace(found, image=np.zeros_like(found.image))
    where = np.concatenate([part for _, part in parts])
    return suppressed(whole_objects(found, where, size), detector.params).best_first()
