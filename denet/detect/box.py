"""Boxes (x0, y0, x1, y1): overlap, and the regression from a sampled box to the one it shows.

All functions keep the precision that they are given, take any number of leading axes and give
finite numbers for boxes without area.
"""

from __future__ import annotations

import numpy as np

BOX_CAPACITY = 128  # ground truth boxes of one image at most; places without one have class -1
SMALLEST_SIDE = 1e-6  # of a box in divisions, as part of the image
LARGEST_EXPONENT = 20.0  # of a regressed side: keeps exp finite, far beyond any image


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (...) of boxes (..., 4); 0 where a side is negative."""
    width = np.maximum(boxes[..., 2] - boxes[..., 0], 0)
    return width * np.maximum(boxes[..., 3] - boxes[..., 1], 0)


def intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (..., a, b): the area that each box (..., a, 4) shares with each (..., b, 4)."""
    a, b = first[..., :, None, :], second[..., None, :, :]
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared: np.ndarray = np.maximum(width, 0) * np.maximum(height, 0)
    return shared


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (..., a, b): intersection over union of each box (..., a, 4) with each (..., b, 4).

    0 where both have no area.
    """
    shared = intersection(first, second)
    union = area(first)[..., :, None] + area(second)[..., None, :] - shared
    return shared / np.maximum(union, np.finfo(union.dtype).tiny)


def centre(boxes: np.ndarray) -> np.ndarray:
    """Return (centre x, centre y, width, height) of boxes (..., 4), sides SMALLEST_SIDE or more."""
    side = np.maximum(boxes[..., 2:] - boxes[..., :2], SMALLEST_SIDE)
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, side], axis=-1)


def encode(target: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Return the regression (dx, dy, dw, dh) (..., 4) that leads from ``sample`` to ``target``.

    dx = (tx - sx) / sw, dy alike, dw = ln(tw / sw), dh alike, with centres x, y and sides w, h.
    """
    t, s = centre(target), centre(sample)
    shift = (t[..., :2] - s[..., :2]) / s[..., 2:]
    return np.concatenate([shift, np.log(t[..., 2:] / s[..., 2:])], axis=-1)


def decode_centre(regression: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Return (centre x, centre y, width, height) of the boxes that ``decode`` returns."""
    s = centre(sample)
    middle = s[..., :2] + regression[..., :2] * s[..., 2:]
    side = s[..., 2:] * np.exp(np.minimum(regression[..., 2:], LARGEST_EXPONENT))
    return np.concatenate([middle, side], axis=-1)


def decode(regression: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Return the boxes (..., 4) to which ``regression`` leads from ``sample``: encode undone.

    Exponents beyond LARGEST_EXPONENT count as that. A box may reach beyond the image.
    """
    box = decode_centre(regression, sample)
    half = box[..., 2:] / 2
    return np.concatenate([box[..., :2] - half, box[..., :2] + half], axis=-1)
