"""Classify image files or a dataset: the likeliest classes of each image."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset import Dataset, parse_extension
from denet.dataset.base import thread_count
from denet.dataset.decode import decode_image, image_suffixes, reason
from denet.dataset.loader import Loader, Normalise
from denet.errors import DataError
from denet.evaluate.classifier import Classifier, check_fit
from denet.evaluate.topk import TOP, top_classes

if TYPE_CHECKING:
    from PIL.Image import Image


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the model says of one image."""

    name: str  # the file as it was given, or the dataset's name for the sample
    classes: list[tuple[str, float]]  # (class, probability), best first
    label: str | None = None  # the true class where it is known


@dataclass(frozen=True)
class BadImage:
    """A file that could not be read, and why."""

    name: str
    reason: str


def find_images(path: str | os.PathLike[str]) -> list[str]:
    """Return the image files that ``path`` stands for.

    A directory gives all images below it but hidden ones, sorted; a .txt file lists one path per
    line, relative to its own directory; any other file is an image. Raises DataError where there
    is none.
    """
    source = Path(path)
    if source.is_dir():
        suffixes = image_suffixes()
        found = sorted(p for p in _files_below(source) if p.suffix.lower() in suffixes)
    elif source.suffix.lower() == ".txt":
        found = [source.parent / line for line in _lines(source)]
    elif source.exists():
        found = [source]
    else:
        raise DataError(f"input: no such file or directory: {source.absolute()}")
    if not found:
        raise DataError(f"input: no images in {source.absolute()}")
    return [os.fspath(p) for p in found]


def is_labelled(path: str, extension: str, class_labels: Sequence[str]) -> bool:
    """Tell a dataset from loose images: arrays, or directories that are named as classes."""
    if parse_extension(extension)[0] in ("npy", "npz"):
        return True
    root = Path(path)
    if not root.is_dir():
        return False
    names = {each.name for each in root.iterdir() if each.is_dir() and not _hidden(each)}
    foreign = sorted(names - set(class_labels))
    if foreign and len(foreign) < len(names):
        log.warning("%s: true classes not known: the model has no class %r", root, foreign[0])
    return bool(names) and not foreign


def fit_image(image: Image, width: int, height: int) -> Image:
    """Return the image at this size: scaled until it just covers it, then cropped to the centre.

    For a square input that is: the shorter side scaled to it, then the middle of the longer one.
    """
    from PIL import Image, ImageOps

    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)


def classify_files(
    classifier: Classifier,
    paths: Sequence[str],
    bad: list[BadImage],
    top: int = TOP,
    thread_num: int | None = 1,
) -> Iterator[Answer]:
    """Yield the ``top`` classes of each image file, in order; what cannot be read goes to ``bad``.

    Any format and mode that Pillow knows will do; see ``fit_image`` for images of another size.
    """
    shape = classifier.model.input_shape
    normalise = Normalise(shape, classifier.model.preprocessing)
    good = _readable(_read_ahead(paths, shape, thread_count(thread_num), classifier), bad)
    while batch := list(islice(good, classifier.batch_size)):
        names, images = zip(*batch, strict=True)
        probabilities = classifier.probabilities(normalise(np.stack(images)))
        yield from _answers(classifier, names, probabilities, top)


def classify_dataset(
    classifier: Classifier, dataset: Dataset, top: int = TOP, thread_num: int | None = 1
) -> Iterator[Answer]:
    """Yield the ``top`` classes of each sample, in order, with its true class."""
    check_fit(classifier.model, dataset)
    loader = Loader(
        dataset,
        classifier.batch_size,
        classifier.model.preprocessing,
        thread_num=thread_num,
        shuffle=False,
    )
    for batch in loader.epoch(0):
        names = [dataset.names[index] for index in batch.indices]
        labels = [dataset.class_labels[index] for index in batch.class_index]
        yield from _answers(classifier, names, classifier.probabilities(batch.data), top, labels)


def _answers(
    classifier: Classifier,
    names: Sequence[str],
    probabilities: np.ndarray,
    top: int,
    labels: Sequence[str] | None = None,
) -> Iterator[Answer]:
    class_labels = classifier.model.class_labels
    best = top_classes(probabilities, top)
    for row, (name, ids) in enumerate(zip(names, best, strict=True)):
        classes = [(class_labels[k], float(probabilities[row, k])) for k in ids]
        yield Answer(name, classes, labels[row] if labels else None)


def _files_below(directory: Path) -> Iterator[Path]:
    for each in directory.iterdir():
        if not _hidden(each):
            yield from _files_below(each) if each.is_dir() else [each]


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"input: cannot read the list {path}: not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"input: cannot read the list {path}: {reason(error)}") from error
    return [line.strip() for line in lines if line.strip()]


def _read_ahead(
    paths: Sequence[str], shape: tuple[int, int, int], threads: int, classifier: Classifier
) -> Iterator[tuple[str, np.ndarray | BadImage]]:
    """Decode by ``threads`` threads, at most two batches ahead of the consumer."""
    waiting: deque[tuple[str, Future[np.ndarray | BadImage]]] = deque()
    rest = iter(paths)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for path in islice(rest, 2 * classifier.batch_size - len(waiting)):
                    waiting.append((path, pool.submit(_read, path, shape)))
                if not waiting:
                    return
                path, future = waiting.popleft()
                yield path, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(path: str, shape: tuple[int, int, int]) -> np.ndarray | BadImage:
    """Return pixels (h, w, c) uint8 of the model's input shape (c, h, w)."""
    channels, height, width = shape
    try:
        image = decode_image(path).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(fit_image(image, width, height))
    except Exception as error:  # a damaged file can make a decoder raise anything
        return BadImage(path, reason(error))
    return pixels.reshape(height, width, channels)


def _readable(
    images: Iterable[tuple[str, np.ndarray | BadImage]], bad: list[BadImage]
) -> Iterator[tuple[str, np.ndarray]]:
    for path, image in images:
        if isinstance(image, BadImage):
            bad.append(image)
        else:
            yield path, image
