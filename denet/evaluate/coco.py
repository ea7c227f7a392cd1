"""Average precision as MSCOCO defines it, by the library hotcoco."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.detect.detections import Detections
from denet.errors import UsageError
from denet.evaluate.voc import in_words, mean_of_numbers

MISSING = "evaluation of MSCOCO: hotcoco is not installed: pip install hotcoco"

ALL, SMALL, MEDIUM, LARGE = range(4)  # areas: up to 32^2 pixels, up to 96^2, above
AT_1, AT_10, AT_100 = range(3)  # best detections of a class in an image that are looked at
IOU_50, IOU_75, ALL_IOUS = slice(0, 1), slice(5, 6), slice(None)  # of .50, .55, ..., .95
# name of each number: what is averaged, over which IoUs, areas and numbers of detections
NUMBERS: dict[str, tuple[str, slice, int, int]] = {
    "AP": ("precision", ALL_IOUS, ALL, AT_100),
    "AP50": ("precision", IOU_50, ALL, AT_100),
    "AP75": ("precision", IOU_75, ALL, AT_100),
    "APs": ("precision", ALL_IOUS, SMALL, AT_100),
    "APm": ("precision", ALL_IOUS, MEDIUM, AT_100),
    "APl": ("precision", ALL_IOUS, LARGE, AT_100),
    "AR1": ("recall", ALL_IOUS, ALL, AT_1),
    "AR10": ("recall", ALL_IOUS, ALL, AT_10),
    "AR100": ("recall", ALL_IOUS, ALL, AT_100),
    "ARs": ("recall", ALL_IOUS, SMALL, AT_100),
    "ARm": ("recall", ALL_IOUS, MEDIUM, AT_100),
    "ARl": ("recall", ALL_IOUS, LARGE, AT_100),
}


@dataclass(frozen=True)
class CocoResult:
    """The twelve numbers by name and the AP per class, nan where there are no such objects."""

    numbers: dict[str, float]
    class_ap: np.ndarray  # (classes,): mean over the IoUs .50, .55, ..., .95

    def report(self, class_labels: Sequence[str]) -> str:
        """Return a line per class, then the twelve numbers, in per cent; ``-`` for no objects."""
        rows = [*zip(class_labels, self.class_ap, strict=True), *self.numbers.items()]
        return "\n".join(f"{name} {in_words(value)}" for name, value in rows)


def evaluate_coco(found: Detections, dataset: DetectionDataset, class_num: int) -> CocoResult:
    """Compare detections, in pixels of their images, with the boxes of the dataset.

    The size of an object is the area that its box tells, of its outline where MSCOCO has one.
    Crowds, and detections that one covers, do not count.
    Raises UsageError where no evaluator is installed.
    """
    result = _evaluate(_known(dataset, class_num), _rows(found))
    class_ap = [_mean(result["precision"][:, :, k, ALL, AT_100]) for k in range(class_num)]
    return CocoResult(
        {
            name: _mean(result[what][ious, ..., areas, count])
            for name, (what, ious, areas, count) in NUMBERS.items()
        },
        np.array(class_ap),
    )


def _mean(values: np.ndarray) -> float:
    """Return the mean; the evaluators say -1 where there is no object."""
    return mean_of_numbers(np.where(values < 0, np.nan, values))


def _known(dataset: DetectionDataset, class_num: int) -> dict[str, Any]:
    """Return what the evaluators read: images, classes and objects counted from 1."""
    truth = dataset.truth
    box = truth.boxes_px.astype(np.float64)
    side = box[:, 2:] - box[:, :2]
    columns = zip(
        (truth.image + 1).tolist(),
        (truth.box_class + 1).tolist(),
        np.concatenate([box[:, :2], side], axis=1).tolist(),
        truth.area.tolist(),
        truth.crowd.astype(int).tolist(),
        strict=True,
    )
    names = ("image_id", "category_id", "bbox", "area", "iscrowd")
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": number, "width": width, "height": height}
            for number, (width, height) in enumerate(dataset.sizes.tolist(), 1)
        ],
        "categories": [{"id": k, "name": str(k)} for k in range(1, class_num + 1)],
        "annotations": [
            {"id": number, **dict(zip(names, row, strict=True))}
            for number, row in enumerate(columns, 1)
        ],
    }


def _rows(found: Detections) -> np.ndarray:
    """Return (d, 7) float64: image and x, y, width, height, score, class, counted from 1."""
    box = found.box.astype(np.float64)
    columns = (
        found.image + 1,
        *box[:, :2].T,
        *(box[:, 2:] - box[:, :2]).T,
        found.score,
        found.class_index + 1,
    )
    return np.stack(columns, axis=1).astype(np.float64)


def require_evaluator() -> tuple[Any, Any]:
    """Return what holds objects and what evaluates them; UsageError where they are missing."""
    try:
        from hotcoco import COCO, COCOeval
    except ImportError:
        raise UsageError(MISSING) from None
    return COCO, COCOeval


def _evaluate(known: dict[str, Any], rows: np.ndarray) -> Any:
    """Return precision and recall of the rows of detections as arrays by name."""
    make_objects, evaluator = require_evaluator()
    objects = make_objects(known)
    evaluation = evaluator(objects, objects.load_res(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval
