"""What each sampled box of one image should be told: a class, a fitness, an object's box.

Every function takes sample (N, 4), box (M, 4) and box_class (M,), where -1 stands for no object.
An object counts for a sample if their IoU is above the threshold, not if it equals it.
"""

from __future__ import annotations

import numpy as np

from denet.detect.box import iou

FITNESS_BINS = 5  # of the IoU between threshold and 1 (arXiv 1711.00164)


def class_target(
    sample: np.ndarray,
    box: np.ndarray,
    box_class: np.ndarray,
    class_num: int,
    threshold: float,
    joint: bool = False,
) -> np.ndarray:
    """Return (N, class_num + 1): equal shares of all classes that count, else 1 for null, the last.

    With ``joint`` each class stands FITNESS_BINS times: (N, class_num * FITNESS_BINS + 1), index
    class * FITNESS_BINS + bin.
    """
    row, column, overlap = matches(sample, box, box_class, threshold)
    assert column.max(initial=-1) < class_num, "box class out of range"
    if joint:
        column = column * FITNESS_BINS + fitness_bin(overlap, threshold)
    outputs = class_num * (FITNESS_BINS if joint else 1) + 1
    return shares(row, column, np.zeros((len(sample), outputs), sample.dtype), null=-1)


def fitness_target(
    sample: np.ndarray, box: np.ndarray, box_class: np.ndarray, threshold: float
) -> np.ndarray:
    """Return (N, FITNESS_BINS + 1): equal shares of 1 + bin of the objects, else 1 for index 0."""
    row, _, overlap = matches(sample, box, box_class, threshold)
    outputs = np.zeros((len(sample), FITNESS_BINS + 1), sample.dtype)
    return shares(row, 1 + fitness_bin(overlap, threshold), outputs, null=0)


def box_target(
    sample: np.ndarray, box: np.ndarray, box_class: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (indices (k,), boxes (k, 4)) of the samples for which an object counts.

    The box is that of the object that overlaps most, the first of equal ones.
    """
    box = box[box_class >= 0]
    if not len(box):
        return np.zeros(0, np.int64), box
    overlap = iou(sample, box)
    row = np.flatnonzero(overlap.max(axis=1) > threshold)
    return row, box[overlap[row].argmax(axis=1)]


def fitness_bin(overlap: np.ndarray, threshold: float) -> np.ndarray:
    """Return floor(5 s) within 0 and 4, s = (IoU - threshold) / (1 - threshold), of IoU above it.

    Hence an object in bin f has an IoU of about ``fitness_iou(threshold)[f]`` or more.
    """
    fitness = FITNESS_BINS * (overlap - threshold) / (1 - threshold)
    return np.clip(fitness.astype(np.int64), 0, FITNESS_BINS - 1)


def fitness_iou(threshold: float) -> np.ndarray:
    """Return the IoU (FITNESS_BINS,) that each bin of ``fitness_bin`` begins with."""
    return threshold + np.arange(FITNESS_BINS) * (1 - threshold) / FITNESS_BINS


def matches(
    sample: np.ndarray, box: np.ndarray, box_class: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (sample index, class, IoU), each (k,), of all pairs of a sample and its objects."""
    known = box_class >= 0
    overlap = iou(sample, box[known])
    row, column = np.nonzero(overlap > threshold)
    return row, box_class[known][column].astype(np.int64), overlap[row, column]


def shares(row: np.ndarray, column: np.ndarray, outputs: np.ndarray, null: int) -> np.ndarray:
    """Share 1 in each row of ``outputs`` (zeros) between its columns, or give it to ``null``."""
    outputs[row, column] = 1
    count = outputs.sum(axis=1)
    outputs[row, column] /= count[row]
    outputs[count == 0, null] = 1
    return outputs
