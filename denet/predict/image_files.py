"""Loose image files: which ones, and as datasets that decode them when they are asked for."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from glob import glob, has_magic
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.annotation_file import MAX_LIST_BYTES, lines_of, read_lines
from denet.dataset.base import MAX_IMAGE_PIXELS, BadDataError, BadSample, Dataset, Names, Samples
from denet.dataset.image.augment import centre_view
from denet.dataset.image.boxes import View
from denet.dataset.image.decode import image_suffixes, most_bytes, quiet_pillow, reason
from denet.dataset.image.options import ImageOptions, Size
from denet.dataset.image.render import render
from denet.dataset.walk import files_below
from denet.errors import DataError, UsageError
from denet.kind import Integer
from denet.memory import bytes_text
from denet.predict.loose import Files, Held, Loose, Several
from denet.predict.tiles import Part, Tiles
from denet.predict.video import Frames, is_video

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

STDIN = "-"  # stands for the list of paths, or the image, on standard input
_FIRST_BYTES = 1 << 16  # that tell an image from a list


def find_loose(
    inputs: Sequence[str],
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    frame_step: int = 1,
    find: Callable[[str], list[str]] | None = None,
) -> Loose:
    """Return the images that each of ``inputs`` stands for: STDIN, or what ``find`` returns of it.

    That is ``find_images`` where it is not given. Of videos it is every ``frame_step``-th frame.
    Standard input is the list that ``find_images`` tells of, or the bytes of one image: only a
    list has no zero bytes. Raises UsageError or DataError.
    """
    parts: list[Loose] = []
    for path in inputs:
        if path == STDIN:
            data = _read_stdin(max_image_pixels)
            if 0 in data:
                parts.append(Held([data], ["stdin"], max_image_pixels))
                continue
            paths = _listed_bytes(data)
        else:
            paths = (find or find_images)(path)
        for moving, group in groupby(paths, is_video):
            if moving:
                parts += [Frames(each, frame_step, max_image_pixels) for each in group]
            else:
                parts.append(Files([*group], max_image_pixels))
    if frame_step != 1 and not any(isinstance(each, Frames) for each in parts):
        raise UsageError("--frame-step: there is no video in the input: leave it out")
    return parts[0] if len(parts) == 1 else Several(parts)


def find_images(path: str | os.PathLike[str]) -> list[str]:
    """Return the image files, or videos, that ``path`` stands for.

    A directory gives all images below it but hidden ones, sorted; a .txt file lists one path per
    line, relative to its own directory; a pattern such as photos/*.jpg or photos/**/*.jpg gives
    the images, videos and directories of such names, sorted; any other file is an image. Raises
    DataError where there is none.
    """
    source = Path(path)
    if source.is_dir():
        suffixes = image_suffixes()
        below = map(Path, chain.from_iterable(files_below(os.fspath(source)).values()))
        found = sorted(file for file in below if file.suffix.lower() in suffixes)
    elif source.suffix.lower() == ".txt" and not has_magic(os.fspath(source)):
        found = [source.parent / line for line in _listed(source)]
    elif source.exists():
        found = [source]
    elif has_magic(os.fspath(source)):
        return _matching(os.fspath(source))
    else:
        raise DataError(f"input: no such file or directory: {source.absolute()}")
    if not found:
        raise DataError(f"input: no images in {source.absolute()}")
    return [os.fspath(p) for p in found]


def _matching(pattern: str) -> list[str]:
    """Return the images and videos that a pattern gives, and those below its directories."""
    suffixes, found = image_suffixes(), []
    for path in sorted(glob(pattern, recursive=True)):
        if os.path.isdir(path):
            with suppress(DataError):  # one without images
                found += find_images(path)
        elif os.path.splitext(path)[1].lower() in suffixes or is_video(path):
            found.append(path)
    if not found:
        raise DataError(f"input: no images match {os.path.abspath(pattern)}")
    return list(dict.fromkeys(found))  # what ** finds is also below a directory that it finds


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
    """Loose images, of any mode and size, brought to ``shape`` (c, h, w): see ``fit_image``.

    bad  those that could not be read, which are given as some image

    ``class_ids`` are those of the true classes, where they are known. Raises UsageError for a shape
    that no image file has.
    """

    def __init__(
        self,
        loose: Loose,
        class_labels: Sequence[str],
        shape: tuple[int, int, int],
        class_ids: np.ndarray | None = None,
    ):
        check_channels(shape)
        self.loose = loose
        self._known = class_ids is not None
        labels = np.zeros(len(loose)) if class_ids is None else class_ids
        super().__init__(class_labels, labels, loose.names, shape)
        self.classified = self._known
        self._faulty: set[int] = set()
        self._lock = threading.Lock()

    def read(self, indices: np.ndarray) -> np.ndarray:
        channels, height, width = self.shape
        images = np.zeros((len(indices), height, width, channels), np.uint8)
        for slot, index in enumerate(indices.tolist()):
            try:
                image = self.loose.covering(index, (width, height))
                image = image.convert("L" if channels == 1 else "RGB")
                images[slot] = np.asarray(image).reshape(images.shape[1:])
            except Exception as error:  # a damaged file can make a decoder raise anything
                with self._lock:
                    if index not in self._faulty:  # views of one image may come apart
                        self._faulty.add(index)
                        self.bad.append(BadSample(self.names[index], reason(error)))
        return images

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        targets = {"class_index": self.labels[indices]} if self._known else {}
        return Samples(self.images(indices), targets, indices)


def check_channels(shape: tuple[int, int, int]) -> None:
    """Raise UsageError for a shape (c, h, w) that no image file has."""
    if shape[0] not in (1, 3):
        raise UsageError(
            f"input: the model takes images of {shape[0]} channels, image files have 1 or 3: "
            "give arrays, --extension npy"
        )


class ContainedFiles(Dataset):
    """Loose images, each as a whole in the middle of the network input, black around it.

    With ``tiles`` further samples show parts of it likewise: see ``Tiles``.

    image  (N,) the image that each sample is of
    part   (N, 4) what of it the sample shows: x0, y0, x1, y1 in its pixels, 0 until it is loaded
    sizes  (images, 2) upright (width, height), 0 until the image is loaded
    bad    those that could not be read, which are given as black images
    """

    def __init__(
        self,
        loose: Loose,
        class_labels: Sequence[str],
        shape: tuple[int, int, int],
        tiles: Tiles | None = None,
    ):
        self.loose, self.sizes = loose, np.zeros((len(loose), 2), np.int32)
        counts = np.ones(len(loose), np.int64)
        if tiles:
            sizes = (_size(loose, index) for index in range(len(loose)))
            counts[:] = [tiles.count(size) for size in sizes]
        self.image = np.repeat(np.arange(len(loose)), counts)
        self._number = np.arange(len(self.image)) - (np.cumsum(counts) - counts)[self.image]
        self.part = np.zeros((len(self.image), 4), np.int32)
        self._tiles, self._lock, self._own = tiles, threading.Lock(), threading.local()
        names = Names(lambda sample: loose.names[self.image[sample]], range(len(self.image)))
        super().__init__(class_labels, np.zeros(len(names)), names, shape)

    def load(self, indices: np.ndarray, keys: np.ndarray, training: bool) -> Samples:
        channels, height, width = self.shape
        images = np.zeros((len(indices), height, width, channels), np.uint8)
        views = np.ones((len(indices), 5), np.float32)
        with quiet_pillow():
            for slot, sample in enumerate(indices.tolist()):
                try:
                    image, part = self._shown(sample)
                    images[slot], view = contained(image, self.shape)
                except BadDataError:  # of a set that is to be whole
                    raise
                except Exception as error:  # a damaged file can make a decoder raise anything
                    damaged = BadSample(self.names[sample], reason(error))
                    with self._lock:
                        if damaged not in self.bad:
                            self.bad.append(damaged)
                    continue
                left, top = part[0] * view.scale_x, part[1] * view.scale_y
                views[slot] = view._replace(
                    offset_x=view.offset_x + left, offset_y=view.offset_y + top
                )
                self.part[sample] = part
        return Samples(images, {"view": views}, indices)

    def _shown(self, sample: int) -> tuple[PillowImage, Part]:
        """Return what a sample shows, and where in its image that is."""
        index, number = int(self.image[sample]), int(self._number[sample])
        if getattr(self._own, "index", None) != index:  # all tiles of an image come together
            self._own.index = None
            self._own.image = self.loose.image(index)
            self._own.index = index
        image: PillowImage = self._own.image
        self.sizes[index] = image.size
        if not number or not self._tiles:
            return image, (0, 0, *image.size)
        part = self._tiles.parts(image.size)[number]
        return image.crop(part), part


def contained(image: PillowImage, shape: tuple[int, int, int]) -> tuple[np.ndarray, View]:
    """Return an image as a whole in the middle of pixels (h, w, c) uint8, and where it lies."""
    channels, height, width = shape
    options = ImageOptions(crop=(width, height), scale=(width, height), scale_mode="large")
    view = centre_view(options, image.size)
    image = image.convert("L" if channels == 1 else "RGB")
    return render(image, view, options.crop, "LANCZOS")[..., :channels], view


def _size(loose: Loose, index: int) -> Size:
    """Return the size of an image, 1x1 where it is damaged, which is told when it is loaded."""
    try:
        return loose.size(index)
    except Exception:  # a damaged file can make a decoder raise anything
        return 1, 1


def _listed(path: Path) -> list[str]:
    try:
        return read_lines(os.fspath(path))
    except DataError as error:
        raise DataError(f"input: cannot read the list: {error}") from None


def _read_stdin(max_image_pixels: int) -> bytes:
    """Return what is on standard input: a list, or of an image as much as a file may have."""
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("input: standard input is closed: give a list.txt")
    stream = sys.stdin.buffer
    data = stream.read(_FIRST_BYTES)
    most = most_bytes(max_image_pixels) if 0 in data else MAX_LIST_BYTES
    data += stream.read(most + 1 - len(data))
    if len(data) > most:
        raise DataError(f"input: more than {bytes_text(most)} on standard input")
    return data


def _listed_bytes(data: bytes) -> list[str]:
    found = lines_of(io.BytesIO(data), len(data), "standard input")
    if not found:
        raise DataError(
            "input: no images are listed on standard input: one path per line, or an image itself"
        )
    return found
