"""The mean image of a training set: what Krizhevsky et al. 2012 (section 2) subtract."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from denet.dataset.base import Dataset, none_usable
from denet.dataset.image.colours import ColourSums
from denet.dataset.loader import Loader

_BATCH_VALUES = 1 << 20  # of pixels looked at together
_CONSTANT = 1e-12  # less than this part of the mean square is rounding


class MeanImage(NamedTuple):
    """Mean of N images (h, w, c) float32, and deviation of the pixels from it in each channel."""

    image: np.ndarray
    std: tuple[float, ...]


class _AsTheyAre:
    mean, std, mean_image = (), (), None


def mean_image(
    dataset: Dataset, mirrors: bool, thread_num: int | None = 1, progress: bool = True
) -> MeanImage:
    """Return the mean of all images as training crops them, but not yet cropped, from 0 to 1.

    One pass that holds a few images at a time; sums are float64 and taken in the order of the set,
    whatever the number of threads. With ``mirrors`` each image counts as it is and mirrored. A
    channel that does not vary gets deviation 1. Where training shifts colours along components of
    ``dataset`` itself, it gets them from the same pass. Raises BadDataError.
    """
    whole = dataset.uncropped()
    channels, height, width = whole.shape
    batch_size = max(1, _BATCH_VALUES // math.prod(whole.shape))
    loader = Loader(whole, batch_size, _AsTheyAre(), thread_num=thread_num, training=False)
    total, square, count = np.zeros((height, width, channels)), np.zeros(channels), 0
    colours = ColourSums() if dataset.own_colours else None
    hidden = not progress or not sys.stderr.isatty()
    with tqdm(desc="mean image", total=len(whole), disable=hidden, leave=False) as bar:
        for batch in loader.epoch(0):
            pixels = np.asarray(batch.data)[whole.usable(batch.indices)].astype(np.float64)
            total += pixels.sum(axis=0)
            square += (pixels**2).sum(axis=(0, 1, 2))
            count += len(pixels)
            if colours:
                colours.add(np.rint(255 * pixels))
            bar.update(len(batch.data))
    if not count:
        raise none_usable(whole.bad)
    if colours:
        dataset.components = colours.components()
    mean = total / count
    if mirrors:
        mean = (mean + mean[:, ::-1]) / 2
    square /= count * height * width
    variance = square - (mean**2).mean(axis=(0, 1))
    std = np.where(variance > _CONSTANT * square, np.sqrt(np.maximum(variance, 0)), 1.0)
    return MeanImage(mean.astype(np.float32), tuple(std.tolist()))
