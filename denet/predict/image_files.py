"""Loose image files as a dataset: decoded when they are asked for, of no known class."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample, Dataset, Samples
from denet.dataset.decode import decode_files
from denet.errors import UsageError


class FittedFiles(Dataset):
    """Image files of any format, mode and size, brought to ``shape`` (c, h, w): see ``fit_image``.

    bad  those that could not be read, which are given as some image

    Raises UsageError for a shape that no image file has.
    """

    def __init__(
        self,
        paths: Sequence[str],
        class_labels: Sequence[str],
        shape: tuple[int, int, int],
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        if shape[0] not in (1, 3):
            raise UsageError(
                f"input: the model takes images of {shape[0]} channels, image files have 1 or 3: "
                "give arrays, --extension npy"
            )
        super().__init__(class_labels, np.zeros(len(paths)), list(paths), shape)
        self._max_image_pixels = max_image_pixels
        self._faulty: set[int] = set()
        self._lock = threading.Lock()

    def read(self, indices: np.ndarray) -> np.ndarray:
        channels, height, width = self.shape
        names = [self.names[index] for index in indices]
        images = np.zeros((len(names), height, width, channels), np.uint8)
        faults = decode_files(names, images, True, True, self._max_image_pixels)
        with self._lock:
            for position, _, text in faults:
                if indices[position] not in self._faulty:  # views of one image may come apart
                    self._faulty.add(indices[position])
                    self.bad.append(BadSample(names[position], text))
        return images

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        return Samples(self.images(indices), {})
