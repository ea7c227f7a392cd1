"""Which classes a detector takes for which, what it misses, and where it sees what is not there."""

from __future__ import annotations

import numpy as np

from denet.dataset.image.boxes import Boxes
from denet.detect.box import iou
from denet.detect.detections import Detections
from denet.evaluate.topk import TopErrors

MISSED, FALSE_ALARM = "missed", "false alarm"  # in the place of an answer, and of a true class


def detection_errors(
    found: Detections, truth: Boxes, class_num: int, match_iou: float, least_score: float
) -> TopErrors:
    """Return the objects of ``truth`` by class and by that of the detection that shows each.

    Class ``class_num`` as answer is MISSED, as true class FALSE_ALARM. Detections of
    ``least_score`` or more and objects of one image, of whatever classes, belong together in pairs
    of an IoU of ``match_iou`` or more, the largest first. Objects that are difficult or a crowd do
    not count, nor what shows them.
    """
    errors = TopErrors(class_num + 1)
    image_num, scored = len(truth.start) - 1, truth.scored
    answers = found.take(found.score >= least_score).by_image(image_num)
    for image, own in enumerate(answers):
        place = truth.of(image)
        true, counts = truth.box_class[place], scored[place]
        owner = _pairs(iou(own.box.astype(np.float64), truth.boxes_px[place]), match_iou, counts)
        shown = owner >= 0
        pairs = [
            *zip(true[owner[shown]], own.class_index[shown], counts[owner[shown]], strict=True)
        ]
        errors.pairs.update((int(one), int(other)) for one, other, good in pairs if good)
        missed = np.setdiff1d(np.flatnonzero(counts), owner)
        errors.pairs.update((int(each), class_num) for each in true[missed])
        errors.pairs.update((class_num, int(each)) for each in own.class_index[~shown])
    return errors


def _pairs(overlap: np.ndarray, match_iou: float, counts: np.ndarray) -> np.ndarray:
    """Return for each of d detections the object (d,) it belongs to, -1 for none.

    ``overlap`` (d, t) are IoUs. Each object that ``counts`` has one detection at most, any other
    has those that are left, however many.
    """
    owner = np.full(len(overlap), -1)
    taken = ~counts
    rows, columns = np.nonzero(overlap >= match_iou)
    order = np.lexsort((rows, -overlap[rows, columns], ~counts[columns]))  # what counts comes first
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if owner[row] < 0 and (not counts[column] or not taken[column]):
            owner[row], taken[column] = column, True
    return owner
