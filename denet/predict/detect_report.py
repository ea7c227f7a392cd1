"""The precision and recall of a detector, class by class, as files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from denet.evaluate.voc import VocResult
from denet.predict.report_files import ReportFiles
from denet.printable import printable
from denet.report.precision_recall import (
    FONT,
    draw_precision_recall,
    write_class_ap,
    write_curves,
)

PICTURE = "precision_recall.png"


class DetectionReport:
    """A report on classes in a directory, made before the detections; see ``ReportFiles``."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        class_labels: Sequence[str],
        font_file: str | None = None,
    ):
        self._labels, names = class_labels, map(printable, class_labels)
        self._files = ReportFiles(directory, PICTURE, names, font_file, round(FONT))

    def write(self, result: VocResult, pr_threshold: float) -> list[str]:
        """Write class_ap.csv, precision_recall.csv and .png; return which."""
        labels, font_file = self._labels, self._files.font_file
        return self._files.write(
            {
                "class_ap.csv": lambda file: write_class_ap(file, result, labels),
                "precision_recall.csv": lambda file: write_curves(file, result, labels),
            },
            {
                PICTURE: lambda path: draw_precision_recall(
                    result, labels, path, pr_threshold, font_file
                )
            },
        )
