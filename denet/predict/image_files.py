"""Loose image files: which ones, and as datasets that decode them when they are asked for."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from denet.dataset.annotation_file import MAX_LIST_BYTES, lines_of, read_lines
from denet.dataset.base import MAX_IMAGE_PIXELS, BadSample, Dataset, Samples
from denet.dataset.image.augment import centre_view
from denet.dataset.image.decode import (
    decode_files,
    decode_image,
    image_suffixes,
    quiet_pillow,
    reason,
)
from denet.dataset.image.options import ImageOptions
from denet.dataset.image.render import render
from denet.dataset.walk import files_below
from denet.errors import DataError, UsageError
from denet.kind import Integer
from denet.memory import bytes_text

STDIN = "-"  # stands for the list of paths on standard input


def find_images(path: str | os.PathLike[str]) -> list[str]:
    """Return the image files that ``path`` stands for.

    A directory gives all images below it but hidden ones, sorted; a .txt file lists one path per
    line, relative to its own directory; STDIN lists them relative to the current one; any other
    file is an image. Raises DataError where there is none.
    """
    source = Path(path)
    if path == STDIN:
        if not (found := [Path(line) for line in _listed_stdin()]):
            raise DataError("input: no images are listed on standard input: one path per line")
    elif source.is_dir():
        suffixes = image_suffixes()
        below = map(Path, chain.from_iterable(files_below(os.fspath(source)).values()))
        found = sorted(file for file in below if file.suffix.lower() in suffixes)
    elif source.suffix.lower() == ".txt":
        found = [source.parent / line for line in _listed(source)]
    elif source.exists():
        found = [source]
    else:
        raise DataError(f"input: no such file or directory: {source.absolute()}")
    if not found:
        raise DataError(f"input: no images in {source.absolute()}")
    return [os.fspath(p) for p in found]


def read_truth(path: str, image_num: int, class_num: int) -> np.ndarray:
    """Return the class ids (n,), from 0, of a list whose line i holds that of image i, from 1.

    Raises DataError unless it has a line for each image, and each is a class.
    """
    lines = read_lines(path)
    if len(lines) != image_num:
        raise DataError(f"truth: {path}: {len(lines)} lines for {image_num} images: give one each")
    kind = Integer(1, class_num)
    ids = np.empty(image_num, np.int64)
    for number, line in enumerate(lines):
        try:
            ids[number] = kind.read(line) - 1
        except ValueError as error:
            raise DataError(f"truth: {path}: line {number + 1}: the class id {error}") from None
    return ids


def common_directory(paths: Sequence[str]) -> str:
    """Return the deepest directory that all image files are below."""
    return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])


def picture_stems(paths: Sequence[str], root: str) -> list[str]:
    """Return a name for what is drawn of each image file: its path below ``root``, no suffix.

    Where images differ in their suffix only, all keep theirs.
    """
    below = [os.path.relpath(path, root) for path in paths]
    stems = [os.path.splitext(path)[0] for path in below]
    return stems if len(set(stems)) == len(set(below)) else below


class CoveringFiles(Dataset):
    """Image files of any format, mode and size, brought to ``shape`` (c, h, w): see ``fit_image``.

    bad  those that could not be read, which are given as some image

    ``class_ids`` are those of the true classes, where they are known. Raises UsageError for a shape
    that no image file has.
    """

    def __init__(
        self,
        paths: Sequence[str],
        class_labels: Sequence[str],
        shape: tuple[int, int, int],
        max_image_pixels: int = MAX_IMAGE_PIXELS,
        class_ids: np.ndarray | None = None,
    ):
        if shape[0] not in (1, 3):
            raise UsageError(
                f"input: the model takes images of {shape[0]} channels, image files have 1 or 3: "
                "give arrays, --extension npy"
            )
        self._known = class_ids is not None
        labels = np.zeros(len(paths)) if class_ids is None else class_ids
        super().__init__(class_labels, labels, list(paths), shape)
        self._max_image_pixels = max_image_pixels
        self.classified = self._known
        self._faulty: set[int] = set()
        self._lock = threading.Lock()

    def read(self, indices: np.ndarray) -> np.ndarray:
        channels, height, width = self.shape
        names = [self.names[index] for index in indices]
        images = np.zeros((len(names), height, width, channels), np.uint8)
        faults = decode_files(
            names, images, crop=True, convert=True, max_image_pixels=self._max_image_pixels
        )
        with self._lock:
            for position, _, text in faults:
                if indices[position] not in self._faulty:  # views of one image may come apart
                    self._faulty.add(indices[position])
                    self.bad.append(BadSample(names[position], text))
        return images

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        targets = {"class_index": self.labels[indices]} if self._known else {}
        return Samples(self.images(indices), targets, indices)


class ContainedFiles(Dataset):
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
        return Samples(images, {"view": views}, indices)


def _listed(path: Path) -> list[str]:
    try:
        return read_lines(os.fspath(path))
    except DataError as error:
        raise DataError(f"input: cannot read the list: {error}") from None


def _listed_stdin() -> list[str]:
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("input: standard input is closed: give a list.txt")
    data = sys.stdin.buffer.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise DataError(f"input: more than {bytes_text(MAX_LIST_BYTES)} on standard input")
    return lines_of(io.BytesIO(data), len(data), "standard input")
