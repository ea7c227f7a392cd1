"""How well a detector finds the objects of a dataset, and where it errs, as files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.decode import decode_image, quiet_pillow
from denet.detect.detections import Detections
from denet.evaluate.confusion import write_table
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.object_errors import ObjectErrors, object_errors
from denet.evaluate.topk import TopErrors
from denet.evaluate.voc import VocResult
from denet.predict.report_files import ReportFiles
from denet.predict.request import Request
from denet.printable import counted, printable
from denet.report.confusion import draw_confusion
from denet.report.contact_sheet import FONT_SIZE, Line, contact_sheet
from denet.report.drawing import INK, SLATE
from denet.report.object_errors import (
    FALSE_ALARM,
    KINDS,
    MISSED,
    draw_marked,
    draw_sizes,
    marked_boxes,
    write_sizes,
)
from denet.report.precision_recall import draw_precision_recall, write_class_ap, write_curves

if TYPE_CHECKING:
    from PIL.Image import Image

PLOTS = ("precision_recall.png", "confusion.png", "sizes.png")
WORST, SIDE, COLUMNS = 16, 400, 4  # pictures on the sheet, pixels of each, in a row


class DetectionReport:
    """The --report on a dataset, made before the detections; see ``ReportFiles``.

    Errors are those of detections that people are shown.
    """

    def __init__(self, request: Request, dataset: DetectionDataset):
        assert request.report
        self._request, self._dataset = request, dataset
        names = map(printable, chain(dataset.class_labels, dataset.image_names))
        self._files = ReportFiles(request.report, PLOTS, names, request.font, FONT_SIZE)

    def write(self, found: Detections, result: VocResult, params: DetectParams) -> list[str]:
        """Write tables and pictures of what was found, in pixels of the images; return which."""
        labels, font_file = self._dataset.class_labels, self._files.font_file
        score, iou = self._request.shown_score, params.match_iou
        errors = object_errors(found, self._dataset.truth, len(labels), score, iou)
        matrix, sizes = errors.matrix(len(labels)), errors.sizes()
        rows, columns = [*labels, FALSE_ALARM], [*labels, MISSED]
        return self._files.write(
            {
                "class_ap.csv": lambda file: write_class_ap(file, result, labels),
                "precision_recall.csv": lambda file: write_curves(file, result, labels),
                "confusion.csv": lambda file: write_table(file, matrix, rows, columns),
                "sizes.csv": lambda file: write_sizes(file, sizes),
            },
            {
                "precision_recall.png": lambda path: draw_precision_recall(
                    result, labels, path, params.pr_threshold, font_file
                ),
                "confusion.png": lambda path: draw_confusion(
                    as_answers(matrix), rows, path, font_file, columns
                ),
                "sizes.png": lambda path: draw_sizes(sizes, path),
                "worst.png": lambda path: self._sheet(errors).save(path, format="png"),
            },
        )

    def _sheet(self, errors: ObjectErrors) -> Image:
        """Return the pictures with most errors, as small ones with their boxes."""
        wrong = errors.of_images(len(self._dataset.image_names))
        worst = worst_images(wrong, WORST)
        of, score = counted(int((wrong > 0).sum()), "image"), f"{self._request.shown_score:g}"
        text = f"The {len(worst)} worst of {of} with errors (score {score} or more):"
        if not len(worst):
            text = f"No errors (score {score} or more)"
        title: list[Line] = [(text, INK)]
        title += [(f"  {kind}", colour) for kind, colour in KINDS.items() if len(worst)]
        tiles = self._tiles(errors, wrong, worst)
        return contact_sheet(title, tiles, self._files.font, SIDE, COLUMNS)

    def _tiles(
        self, errors: ObjectErrors, wrong: np.ndarray, worst: np.ndarray
    ) -> Iterator[tuple[Image, list[Line]]]:
        labels, names = self._dataset.class_labels, self._dataset.image_names
        for index in worst.tolist():
            image = upright_image(names[index], self._request.max_image_pixels)
            picture = draw_marked(image, marked_boxes(errors, index, labels), SIDE)
            told = counted(int(wrong[index]), "error")
            yield picture, [(printable(os.path.basename(names[index])), SLATE), (told, INK)]


def upright_image(name: str, max_image_pixels: int) -> Image:
    """Return what an image file shows, which the boxes of a dataset are in."""
    with quiet_pillow():
        return decode_image(name, max_image_pixels=max_image_pixels)


def worst_images(wrong: np.ndarray, most: int) -> np.ndarray:
    """Return the indices of up to ``most`` images with errors, those with most of them first."""
    order = np.argsort(-wrong, kind="stable")[:most]
    return order[wrong[order] > 0]


def as_answers(matrix: np.ndarray) -> TopErrors:
    """Return the counts of a matrix of a true class (row) and an answer (column)."""
    errors = TopErrors(len(matrix))
    cells = np.argwhere(matrix > 0).tolist()
    errors.pairs = Counter({(true, answer): int(matrix[true, answer]) for true, answer in cells})
    return errors
