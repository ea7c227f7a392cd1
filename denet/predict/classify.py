"""Classify the images of a dataset: the likeliest classes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from denet.dataset import Dataset, parse_extension
from denet.dataset.base import BadSample
from denet.dataset.class_names import class_ids
from denet.dataset.classes.image_list import tells_classes
from denet.dataset.loader import Batch, Loader
from denet.dataset.walk import directories_in
from denet.errors import DataError, DescriptionError, OutOfMemoryError
from denet.evaluate.classifier import Classifier, check_fit
from denet.evaluate.predictor import check_numbers
from denet.evaluate.topk import TOP, top_classes

LABELLED = ("npy", "npz", "cifar", "svhn", "imagenet")  # kinds of data that hold the true classes


@dataclass(frozen=True)
class Answer:
    """What the model says of one image."""

    name: str  # the file as it was given, or the dataset's name for the sample
    classes: list[tuple[str, float]]  # (class, probability), best first; none if it is damaged
    label: str | None = None  # the true class where it is known
    class_ids: tuple[int, ...] = ()  # of the classes


def unlabelled(path: str, extension: str, class_labels: Sequence[str]) -> str | None:
    """Return why the true classes of what lies at ``path`` are not known; None where they are.

    They are for arrays, CIFAR, SVHN and ImageNet, for lists of images with their classes, and for
    directories that are named as classes of the model.
    """
    if parse_extension(extension)[0] in LABELLED or tells_classes(path):
        return None
    names = directories_in(path)
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


def classify_images(
    classifier: Classifier,
    dataset: Dataset,
    top: int = TOP,
    thread_num: int | None = 1,
    each: Callable[[np.ndarray, Batch], None] | None = None,
) -> Iterator[Answer]:
    """Yield the ``top`` classes of each image, in order, with its true class where it is known.

    Where the samples are several views of each image their class probabilities are averaged.
    Those of damaged images have no classes: ``dataset.bad`` tells them. ``each`` gets the class
    probabilities (n, k) of the other images of a batch, and this batch: its targets and indices are
    those of the first view of each, the data are of all samples.
    """
    check_fit(classifier.model, dataset)
    loader = classifier.loader(dataset, thread_num)
    for batch, samples, means in _averaged(classifier, loader):
        good = dataset.usable(samples)
        known = "class_index" in batch.targets
        if each:
            targets = {"class_index": dataset.labels[samples[good]]} if known else {}
            each(means[good], replace(batch, targets=targets, indices=samples[good]))
        answers = _answers(dataset, samples, means, top, known)
        for answer, is_good in zip(answers, good, strict=True):
            yield answer if is_good else Answer(answer.name, [])


def _averaged(
    classifier: Classifier, loader: Loader
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
    """Yield each batch, the first samples (n,) of the images that end in it, and their answers.

    These are the mean class probabilities (n, k) of all views of an image.
    """
    dataset = loader.dataset
    view_num = dataset.view_num
    waiting: np.ndarray = np.empty((0, len(dataset.class_labels)), np.float32)
    first = 0  # sample of the first row that waits
    for batch in loader.epoch(0):
        names = [dataset.names[index] for index in batch.indices]
        try:
            found = classifier.probabilities(batch.data)
        except (OutOfMemoryError, DescriptionError) as error:
            if not dataset.any_size:
                raise
            dataset.bad.append(BadSample(names[0], str(error)))  # this image is too large
            found = np.zeros((len(names), waiting.shape[1]), np.float32)
        check_numbers(found, names)
        rows = np.concatenate([waiting, found])
        whole = len(rows) // view_num * view_num
        means = rows[:whole].reshape(-1, view_num, rows.shape[1]).mean(axis=1)
        yield batch, np.arange(first, first + whole, view_num), means
        waiting, first = rows[whole:], first + whole


def _answers(
    dataset: Dataset, samples: np.ndarray, probabilities: np.ndarray, top: int, known: bool
) -> Iterator[Answer]:
    labels = dataset.class_labels
    best = top_classes(probabilities, top)
    for row, (sample, ids) in enumerate(zip(samples, best, strict=True)):
        classes = [(labels[k], float(probabilities[row, k])) for k in ids]
        label = labels[dataset.labels[sample]] if known else None
        yield Answer(dataset.names[sample], classes, label, tuple(map(int, ids)))
