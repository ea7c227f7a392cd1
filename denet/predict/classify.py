"""Classify image files or a dataset: the likeliest classes of each image."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from denet.dataset import BadSample, Dataset, parse_extension
from denet.dataset.base import MAX_IMAGE_PIXELS, class_ids, printable, thread_count
from denet.dataset.decode import decode_image, image_suffixes, quiet_pillow, reason
from denet.dataset.loader import Batch, Loader, Normalise
from denet.errors import DataError
from denet.evaluate.classifier import Classifier, check_fit
from denet.evaluate.topk import TOP, top_classes


@dataclass(frozen=True)
class Answer:
    """What the model says of one image."""

    name: str  # the file as it was given, or the dataset's name for the sample
    classes: list[tuple[str, float]]  # (class, probability), best first
    label: str | None = None  # the true class where it is known


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


def unlabelled(path: str, extension: str, class_labels: Sequence[str]) -> str | None:
    """Return why the true classes of what lies at ``path`` are not known; None where they are.

    They are for arrays, and for directories that are named as classes of the model.
    """
    if parse_extension(extension)[0] in ("npy", "npz"):
        return None
    names = class_directories(path)
    if not names:
        wanted = Path(path, class_labels[0])
        return (
            f"no class directories: {path}: give one directory per class, named as in the model "
            f"({wanted}, ...), or arrays with labels"
        )
    try:
        class_ids(names, class_labels, path, "the model")
    except DataError as error:
        return str(error)
    return None


def class_directories(path: str) -> list[str]:
    """Return the sorted names of the directories in ``path``, hidden ones left out."""
    root = Path(path)
    if not root.is_dir():
        return []
    return sorted(each.name for each in root.iterdir() if each.is_dir() and not _hidden(each))


def classify_files(
    classifier: Classifier,
    paths: Sequence[str],
    bad: list[BadSample],
    top: int = TOP,
    thread_num: int | None = 1,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
) -> Iterator[Answer]:
    """Yield the ``top`` classes of each image file, in order; what cannot be read goes to ``bad``.

    Any format and mode that Pillow knows will do, and any size: see ``fit_image``.
    """
    shape = classifier.model.input_shape
    normalise = Normalise(shape, classifier.model.preprocessing)

    def read(path: str) -> np.ndarray | BadSample:
        return _read(path, shape, max_image_pixels)

    ahead = 2 * classifier.batch_size
    good = _readable(_read_ahead(paths, read, thread_count(thread_num), ahead), bad)
    with quiet_pillow():
        while batch := list(islice(good, classifier.batch_size)):
            names, images = zip(*batch, strict=True)
            probabilities = _probabilities(classifier, normalise(np.stack(images)), names)
            yield from _answers(classifier, names, probabilities, top)


def classify_dataset(
    classifier: Classifier,
    dataset: Dataset,
    top: int = TOP,
    thread_num: int | None = 1,
    each: Callable[[np.ndarray, Batch], None] = lambda probabilities, batch: None,
) -> Iterator[Answer]:
    """Yield the ``top`` classes of each sample, in order, with its true class.

    ``each`` gets the class probabilities (n, k) of every batch, valid until it returns.
    """
    check_fit(classifier.model, dataset)
    loader = Loader(
        dataset,
        classifier.batch_size,
        classifier.model.preprocessing,
        thread_num=thread_num,
        training=False,
    )
    for batch in loader.epoch(0):
        names = [dataset.names[index] for index in batch.indices]
        labels = [dataset.class_labels[index] for index in batch.targets["class_index"]]
        probabilities = _probabilities(classifier, batch.data, names)
        each(probabilities, batch)
        yield from _answers(classifier, names, probabilities, top, labels)


def _probabilities(classifier: Classifier, data: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return class probabilities (n, k) of normalised images; DataError unless all are numbers."""
    probabilities = classifier.probabilities(data)
    numbers = np.isfinite(probabilities).all(axis=1)
    if not numbers.all():
        raise DataError(
            f"model: its answer is not a number: {printable(names[int(numbers.argmin())])}: the "
            "weights are damaged or diverged in training: take the model of an earlier epoch"
        )
    return probabilities


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
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise DataError(f"input: cannot read the list {path}: not a file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"input: cannot read the list {path}: not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"input: cannot read the list {path}: {reason(error)}") from error
    return [line.strip() for line in lines if line.strip()]


def _read_ahead(
    paths: Sequence[str],
    read: Callable[[str], np.ndarray | BadSample],
    threads: int,
    ahead: int,
) -> Iterator[tuple[str, np.ndarray | BadSample]]:
    """Read by ``threads`` threads, at most ``ahead`` images before the consumer."""
    waiting: deque[tuple[str, Future[np.ndarray | BadSample]]] = deque()
    rest = iter(paths)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for path in islice(rest, ahead - len(waiting)):
                    waiting.append((path, pool.submit(read, path)))
                if not waiting:
                    return
                path, future = waiting.popleft()
                yield path, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(path: str, shape: tuple[int, int, int], max_image_pixels: int) -> np.ndarray | BadSample:
    """Return pixels (h, w, c) uint8 of the model's input shape (c, h, w)."""
    channels, height, width = shape
    try:
        image = decode_image(path, crop=(width, height), max_image_pixels=max_image_pixels)
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # a damaged file can make a decoder raise anything
        return BadSample(path, reason(error))
    return pixels.reshape(height, width, channels)


def _readable(
    images: Iterable[tuple[str, np.ndarray | BadSample]], bad: list[BadSample]
) -> Iterator[tuple[str, np.ndarray]]:
    for path, image in images:
        if isinstance(image, BadSample):
            bad.append(image)
        else:
            yield path, image
