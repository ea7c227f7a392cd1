"""The localisation error of ImageNet: is one of five guesses right in class and place?"""

from __future__ import annotations

import numpy as np

from denet.detect.detections import Detections
from denet.evaluate.topk import TOP, percent
from denet.evaluate.truth import Truth, best_overlap, box_image


def localisation_error(
    found: Detections, truth: Truth, top: int = TOP, match_iou: float = 0.5
) -> float:
    """Return the per cent of images for which none of the ``top`` best detections is right.

    One is right if it has the class of an object of the image (in pixels, as the truth) and an IoU
    with it of ``match_iou`` or more. Images without objects do not count; nan without others.
    (DeNet of 2017 took the five worst detections.)
    """
    image_num = len(truth.start) - 1
    found = found.best_first()
    place = np.arange(len(found)) - np.searchsorted(found.image, found.image)
    found = found.take(place < top)
    class_num = 1 + int(max(found.class_index.max(initial=0), truth.box_class.max(initial=0)))
    overlap, _ = best_overlap(
        found.image * class_num + found.class_index,
        found.box,
        box_image(truth) * class_num + truth.box_class,
        truth.boxes_px,
    )
    right = np.zeros(image_num, bool)
    right[found.image[overlap >= match_iou]] = True
    counts = np.diff(truth.start) > 0
    return percent(int((counts & ~right).sum()), int(counts.sum()))
