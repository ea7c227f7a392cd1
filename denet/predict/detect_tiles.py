"""Objects found in a dataset that knows some, with parts of its images looked at too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.options import Size
from denet.detect.detections import Detections, joined
from denet.errors import UsageError
from denet.evaluate.detector import DatasetDetections, Detector
from denet.predict.detect import detect_images
from denet.predict.loose import Files
from denet.predict.tiles import Tiles

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


class SetFiles(Files):
    """The image files of a dataset, which is told of those that are damaged."""

    def __init__(self, dataset: DetectionDataset, max_image_pixels: int = MAX_IMAGE_PIXELS):
        super().__init__(dataset.image_names, max_image_pixels)
        self._dataset = dataset

    def image(self, index: int) -> PillowImage:
        """Return an image, upright; raise BadDataError for a damaged one that is not skipped."""
        try:
            return super().image(index)
        except Exception as error:  # a damaged file can make a decoder raise anything
            self._dataset.note_damage(index, error, training=False)
            raise

    def size(self, index: int) -> Size:
        width, height = self._dataset.sizes[index].tolist()
        return (width, height) if width else super().size(index)


def detect_tiled(
    detector: Detector,
    dataset: DetectionDataset,
    tiles: Tiles,
    thread_num: int | None = 1,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> DatasetDetections:
    """Return what ``detect_images`` finds, as if each image had been scaled into the input.

    So are its views; --extension does not say what a tile shows. Raises UsageError for several
    crops of each image, BadDataError where an image cannot be read, or none.
    """
    if dataset.view_num > 1:
        raise UsageError("--tiles: together with multicrop of --extension: leave one of them out")
    loose = SetFiles(dataset, max_image_pixels)
    sizes = np.ones((len(dataset), 2))

    def shares() -> Iterator[Detections]:
        for each in detect_images(detector, loose, [], thread_num, tiles):
            sizes[each.index] = each.size
            box = (each.objects.box / np.tile(each.size, 2)).astype(np.float32)
            yield replace(each.objects, image=np.full(len(box), each.index), box=box)

    found = joined(list(shares()))
    dataset.check_usable()
    view = np.zeros((len(dataset), 5), np.float32)
    view[:, :2] = np.array(detector.input_size) / sizes
    return DatasetDetections(found, view)
