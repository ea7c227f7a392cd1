"""What a labelled dataset tells of a model: its errors, its most confident mistakes, as files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from heapq import nlargest
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from denet.dataset import Dataset
from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.image.decode import decode_image, quiet_pillow
from denet.dataset.loader import Batch
from denet.evaluate.confusion import confusion_matrix, doubt, write_class_errors, write_confusion
from denet.evaluate.topk import TopErrors
from denet.model.model import Model
from denet.predict.report_files import ReportFiles
from denet.predict.request import Request
from denet.printable import counted, printable
from denet.report.confusion import draw_confusion
from denet.report.contact_sheet import FONT_SIZE, Line, contact_sheet
from denet.report.drawing import GREEN, INK, RED, SLATE

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SHOWN = 32  # mistakes on the contact sheet


class Mistake(NamedTuple):
    """The index of a sample, the class ids of truth and answer, and what both were given."""

    sample: int
    true: int
    answer: int
    true_probability: float
    probability: float


class Review:
    """The errors of a model on a dataset and its most confident mistakes, batch by batch."""

    def __init__(self, class_num: int):
        self.errors = TopErrors(class_num)
        self.mistakes: list[Mistake] = []  # the most confident first

    def add(self, probabilities: np.ndarray, batch: Batch) -> None:
        """Take the answers (n, k) for a batch."""
        self.errors.add(probabilities, batch.targets["class_index"])
        answers = probabilities.argmax(axis=1)
        wrong = [
            Mistake(int(index), int(true), int(answer), float(row[true]), float(row[answer]))
            for index, true, answer, row in zip(
                batch.indices, batch.targets["class_index"], answers, probabilities, strict=True
            )
            if answer != true
        ]
        self.mistakes = nlargest(SHOWN, self.mistakes + wrong, key=lambda each: each.probability)


class ClassReport:
    """A report on ``dataset`` in a directory, made before the answers; see ``ReportFiles``."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        dataset: Dataset,
        font_file: str | None = None,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        self._dataset, self._max_image_pixels = dataset, max_image_pixels
        names = map(printable, chain(dataset.class_labels, dataset.names))
        self._files = ReportFiles(directory, ["confusion.png"], names, font_file, FONT_SIZE)

    def write(self, review: Review) -> list[str]:
        """Write class_errors.csv, confusion.csv, confusion.png and mistakes.png; return which."""
        errors, labels = review.errors, self._dataset.class_labels
        matrix, font_file = confusion_matrix(errors), self._files.font_file
        return self._files.write(
            {
                "class_errors.csv": lambda file: write_class_errors(file, errors, labels),
                "confusion.csv": lambda file: write_confusion(file, matrix, labels),
            },
            {
                "confusion.png": lambda path: draw_confusion(errors, labels, path, font_file),
                "mistakes.png": lambda path: self._sheet(review).save(path, format="png"),
            },
        )

    def _sheet(self, review: Review) -> Image:
        """Return the picture of the most confident mistakes."""
        total, wrong = review.errors.pairs.total(), int(review.errors.wrong.sum())
        title: list[Line] = [(f"No mistakes among {counted(total, 'image')}", INK)]
        if wrong:
            which = f"The {len(review.mistakes)} most confident of" if wrong > SHOWN else "All"
            title = [
                (f"{which} {counted(wrong, 'mistake')} among {counted(total, 'image')}:  ", INK)
            ]
            title += [("answer", RED), ("  instead of  ", INK), ("true class", GREEN)]
        return contact_sheet(title, self._tiles(review.mistakes), self._files.font)

    def _tiles(self, mistakes: list[Mistake]) -> Iterator[tuple[Image, list[Line]]]:
        labels = self._dataset.class_labels
        for mistake in mistakes:
            name = self._dataset.names[mistake.sample]
            yield (
                sample_image(self._dataset, mistake.sample, self._max_image_pixels),
                [
                    (f"{mistake.probability:.1%} {labels[mistake.answer]}", RED),
                    (f"{mistake.true_probability:.1%} {labels[mistake.true]}", GREEN),
                    (printable(os.path.basename(name)), SLATE),
                ],
            )


class Errors:
    """Takes the answers to images whose classes are known, and says how many are wrong."""

    def __init__(
        self,
        request: Request,
        model: Model,
        say: Callable[[str], None],
        report: ClassReport | None = None,
    ):
        self._request, self._labels, self._say = request, model.class_labels, say
        self._report = report
        self._review = Review(len(model.class_labels))
        self.add = self._review.add

    def finish(self) -> None:
        """Say the errors, warn where they look like a fault of the set-up, write the report."""
        errors = self._review.errors
        self._say(errors.miss_rates() if self._request.truth else errors.summary())
        if sentence := doubt(errors, self._labels):
            log.warning("%s: %s", self._request.place, sentence)
        if self._report:
            log.info("%s: %s", self._request.report, ", ".join(self._report.write(self._review)))


def sample_image(dataset: Dataset, index: int, max_image_pixels: int) -> Image:
    """Return what the file of a sample shows, or the row of an array as a picture."""
    file = dataset.names[index]
    if os.path.isfile(file):
        with quiet_pillow():
            return decode_image(file, max_image_pixels=max_image_pixels)
    return array_image(dataset.images(np.array([index]))[0])


def array_image(values: np.ndarray) -> Image:
    """Return (h, w, c) as a picture: bytes as they are, else the least black, the most white.

    Three channels are colours, of any other number the mean is shown.
    """
    from PIL import Image

    if values.dtype != np.uint8:
        low, high = values.min(), values.max()
        values = (values - low) * (255 / (high - low) if high > low else 0)
    if values.shape[2] != 3:
        values = values.mean(axis=2)
    return Image.fromarray(values.round().astype(np.uint8))
