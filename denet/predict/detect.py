"""Detect objects in loose image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from denet.dataset.augment import centre_view
from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample, Dataset, Samples
from denet.dataset.decode import decode_image, quiet_pillow, reason
from denet.dataset.image_loader import render
from denet.dataset.image_options import ImageOptions
from denet.dataset.loader import Loader
from denet.detect.detections import Detections
from denet.evaluate.detector import Detector, in_pixels


class ImageFiles(Dataset):
    """Loose image files, each as a whole in the middle of the network input, black around it.

    sizes  (N, 2) upright (width, height), 0 until the image is loaded
    bad    those that could not be read, which are given as black images
    """

    def __init__(
        self,
        paths: Sequence[str],
        class_labels: Sequence[str],
        shape: tuple[int, int, int],
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        super().__init__(class_labels, np.zeros(len(paths)), list(paths), shape)
        self.sizes = np.zeros((len(paths), 2), np.int32)
        self._max_image_pixels = max_image_pixels

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        channels, height, width = self.shape
        options = ImageOptions(crop=(width, height), scale=(width, height), scale_mode="large")
        images = np.zeros((len(indices), height, width, channels), np.uint8)
        views = np.ones((len(indices), 5), np.float32)
        with quiet_pillow():
            for slot, index in enumerate(indices):
                name = self.names[index]
                try:
                    image = decode_image(name, max_image_pixels=self._max_image_pixels)
                    view = centre_view(options, image.size)
                    image = image.convert("L" if channels == 1 else "RGB")
                    images[slot] = render(image, view, options.crop, "LANCZOS")[..., :channels]
                except Exception as error:  # a damaged file can make a decoder raise anything
                    self.bad.append(BadSample(name, reason(error)))
                    continue
                self.sizes[index], views[slot] = image.size, view
        return Samples(images, {"view": views})


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
    files = ImageFiles(paths, model.class_labels, model.input_shape, max_image_pixels)
    loader = Loader(
        files, detector.batch_size, model.preprocessing, thread_num=thread_num, training=False
    )
    for batch, found in detector.batches(loader.epoch(0), files.names):
        sizes = files.sizes[batch.indices]
        found = in_pixels(found, batch.targets["view"], detector.input_size, sizes)
        for row, each in enumerate(found.by_image(len(sizes))):
            if sizes[row].any():
                yield paths[batch.indices[row]], each
    bad += sorted(files.bad)
