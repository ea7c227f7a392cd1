"""Average precision as Pascal VOC defines it, and how many objects are covered at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import Boxes
from denet.detect.detections import Detections
from denet.evaluate.overlap import best_overlap

LEVELS = 10  # the 11 points are a recall of 0, 1/10, ..., 1


class OperatingPoint(NamedTuple):
    """What comes of taking the detections of a class that have a ``score`` or more."""

    score: float
    precision: float
    recall: float
    f1: float  # harmonic mean of precision and recall


@dataclass(frozen=True)
class ClassCurve:
    """The detections of one class that count, from the best down, and whether each is right."""

    object_num: int  # that count, found or not
    score: np.ndarray  # (d,)
    right: np.ndarray  # (d,) bool

    @property
    def recall(self) -> np.ndarray:
        """Share (d,) of the objects found by each detection and those before it."""
        return np.cumsum(self.right) / max(self.object_num, 1)

    @property
    def precision(self) -> np.ndarray:
        """Share (d,) of each detection and those before it that is right."""
        return np.cumsum(self.right) / np.arange(1, len(self.right) + 1)

    @property
    def envelope(self) -> np.ndarray:
        """The largest precision (d,) at this or any higher recall."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]

    def precision_at(self, part: int, whole: int) -> float:
        """Return the envelope at the recall part / whole, 0 where it is not reached."""
        # in whole numbers, where 3 of 10 is exactly a recall of 3/10
        reached = whole * np.cumsum(self.right) >= part * self.object_num
        return float(self.envelope[np.argmax(reached)]) if reached.any() else 0.0

    def best_f1(self) -> OperatingPoint | None:
        """Return where F1 is largest, of equal ones at the highest score; None if nothing is right.

        Detections of equal scores come together: no threshold parts them.
        """
        if not (self.object_num and self.right.any()):
            return None
        last = np.flatnonzero(np.append(np.diff(self.score) != 0, True))
        precision, recall = self.precision[last], self.recall[last]
        f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
        best = int(np.argmax(f1))
        values = self.score[last[best]], precision[best], recall[best], f1[best]
        return OperatingPoint(*map(float, values))

    def f1_from(self, score: float) -> float:
        """Return the F1 of the detections that have this score or more."""
        taken = self.score >= score
        return 2 * float(self.right[taken].sum()) / max(int(taken.sum()) + self.object_num, 1)

    @property
    def ap_11(self) -> float:
        """Mean of the envelope at 11 recalls (VOC2007); nan without objects."""
        if not self.object_num:
            return float("nan")
        return sum(self.precision_at(k, LEVELS) for k in range(LEVELS + 1)) / (LEVELS + 1)

    @property
    def ap_area(self) -> float:
        """Area under the envelope (VOC2010 and later); nan without objects."""
        if not self.object_num:
            return float("nan")
        return float(self.envelope[self.right].sum()) / self.object_num


@dataclass(frozen=True)
class VocResult:
    """Average precision per class, nan for a class without objects, and the means of the others."""

    curves: list[ClassCurve]
    match_iou: float
    coverage: float  # share of the objects that a detection of any class overlaps by match_iou

    @property
    def ap_11(self) -> np.ndarray:
        """11-point average precision (classes,)."""
        return np.array([curve.ap_11 for curve in self.curves])

    @property
    def ap_area(self) -> np.ndarray:
        """Average precision (classes,) as an area."""
        return np.array([curve.ap_area for curve in self.curves])

    @property
    def together(self) -> ClassCurve:
        """The detections of all classes as those of one."""
        score, right = (
            np.concatenate([getattr(curve, name) for curve in self.curves] or [np.zeros(0)])
            for name in ("score", "right")
        )
        order = np.argsort(-score, kind="stable")
        total = sum(curve.object_num for curve in self.curves)
        return ClassCurve(total, score[order], right[order])

    @property
    def mean_ap_11(self) -> float:
        """Mean of ``ap_11``."""
        return mean_of_numbers(self.ap_11)

    @property
    def mean_ap_area(self) -> float:
        """Mean of ``ap_area``."""
        return mean_of_numbers(self.ap_area)

    def report(self, class_labels: Sequence[str]) -> str:
        """Return coverage, a line per class and the mean, in per cent; ``-`` without objects."""
        lines = [
            f"coverage {in_words(self.coverage)} (IoU {self.match_iou:g}, any class)",
            f"AP 11-point / area (IoU {self.match_iou:g}):",
        ]
        for name, curve in zip(class_labels, self.curves, strict=True):
            both = f"{in_words(curve.ap_11)} / {in_words(curve.ap_area)}"
            lines.append(f"{name} {both} ({curve.object_num} objects)")
        both = f"{in_words(self.mean_ap_11)} / {in_words(self.mean_ap_area)}"
        return "\n".join([*lines, f"mean {both}"])


class Matches(NamedTuple):
    """Detections from the best down, and how they fit the known objects."""

    found: Detections
    which: np.ndarray  # (d,) object of its class that each overlaps most, -1 for none
    right: np.ndarray  # (d,) bool
    counts: np.ndarray  # (d,) bool, not of an object that does not count


def match_objects(
    found: Detections, truth: Boxes, class_num: int, match_iou: float = 0.5
) -> Matches:
    """Compare detections, in pixels of their images, with the known objects, as VOC does.

    A detection belongs to the object of its class that it overlaps most. It is right if their IoU
    is ``match_iou`` or more and no detection of a higher score was right for that object: further
    ones are wrong. Where the object is difficult or a crowd it does not count, nor does the object.
    """
    found = found.take(np.argsort(-found.score, kind="stable"))
    overlap, which = best_overlap(
        found.image * class_num + found.class_index,
        found.box,
        truth.image * class_num + truth.box_class,
        truth.boxes_px,
    )
    hit = np.flatnonzero(overlap >= match_iou)
    right = np.zeros(len(found), bool)
    right[hit[np.unique(which[hit], return_index=True)[1]]] = True
    counts = np.ones(len(found), bool)
    counts[hit] = truth.scored[which[hit]]
    return Matches(found, which, right & counts, counts)


def evaluate_voc(
    found: Detections, dataset: DetectionDataset, class_num: int, match_iou: float = 0.5
) -> VocResult:
    """Compare detections, in pixels of their images, with the boxes of the dataset.

    See ``match_objects`` for what is right.
    """
    truth = dataset.truth
    found, _, right, counts = match_objects(found, truth, class_num, match_iou)
    object_num = np.bincount(truth.box_class[truth.scored], minlength=class_num)
    curves = []
    for class_index in range(class_num):
        rows = np.flatnonzero(counts & (found.class_index == class_index))
        curves.append(ClassCurve(int(object_num[class_index]), found.score[rows], right[rows]))
    return VocResult(curves, match_iou, coverage(found, truth, match_iou))


def coverage(found: Detections, truth: Boxes, match_iou: float = 0.5) -> float:
    """Return the share of the objects that a detection of any class overlaps by ``match_iou``.

    Difficult objects and crowds do not count; nan without others. (DeNet of 2017 counts those that
    a detection of their own class overlaps by more, difficult ones too.)
    """
    counts = truth.scored
    if not counts.any():
        return float("nan")
    boxes = truth.boxes_px[counts]
    overlap, _ = best_overlap(truth.image[counts], boxes, found.image, found.box)
    return float((overlap >= match_iou).mean())


def mean_of_numbers(values: np.ndarray) -> float:
    """Return the mean of the values that are numbers; nan where none is."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def in_words(share: float) -> str:
    """Return a share in per cent, ``-`` where there is none."""
    return "-" if share != share else f"{100 * share:.2f}%"
