"""The localisation error of ImageNet: is one of five guesses right in class and place?"""

from __future__ import annotations

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.detect.detections import Detections
from denet.evaluate.overlap import best_overlap
from denet.evaluate.topk import TOP, percent


def localisation_error(
    found: Detections, dataset: DetectionDataset, top: int = TOP, match_iou: float = 0.5
) -> float:
    """Return the per cent of images for which none of the ``top`` best detections is right.

    One is right if it has the class of an object of the image and an IoU with it, in pixels of the
    image, of ``match_iou`` or more. Images without objects do not count; nan without others. (DeNet
    of 2017 took the five worst detections.)
    """
    truth = dataset.truth
    found = found.best_first()
    place = np.arange(len(found)) - np.searchsorted(found.image, found.image)
    found = found.take(place < top)
    class_num = 1 + int(max(found.class_index.max(initial=0), truth.box_class.max(initial=0)))
    overlap, _ = best_overlap(
        found.image * class_num + found.class_index,
        found.box,
        truth.image * class_num + truth.box_class,
        truth.boxes_px,
    )
    right = np.zeros(len(truth.counts), bool)
    right[found.image[overlap >= match_iou]] = True
    counts = truth.counts > 0
    return percent(int((counts & ~right).sum()), int(counts.sum()))
