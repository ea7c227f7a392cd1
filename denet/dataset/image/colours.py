"""Colours of images: their principal components, and single images in other light."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_PIXELS = 1 << 18  # summed at one go
_CONTRAST, _, _SATURATION = range(3)  # the other change is of brightness


class Components(NamedTuple):
    """Principal components of the colours of pixels in [0, 1]: where they vary, and how much.

    values   (3,) eigenvalues of their covariance, the largest first
    vectors  (3, 3) eigenvectors of length 1 as columns
    """

    values: np.ndarray
    vectors: np.ndarray


# those that Torch's recipes for ImageNet have
IMAGENET_COMPONENTS = Components(
    np.array([0.2175, 0.0188, 0.0045]),
    np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]),
)


class ColourSums:
    """Sums over the pixels of images, from which mean and covariance of their colours follow.

    They are whole numbers and exact: the order of the images changes nothing.
    """

    def __init__(self) -> None:
        self.count = 0
        self._total = np.zeros(3, np.int64)
        self._products = np.zeros((3, 3), np.int64)

    def add(self, levels: np.ndarray) -> None:
        """Add pixels (..., 3) of whole numbers from 0 to 255, of any type."""
        rows = levels.reshape(-1, 3)
        for start in range(0, len(rows), _PIXELS):
            # whole numbers below 2^53 are exact in float64, which is multiplied fast
            pixels = rows[start : start + _PIXELS].astype(np.float64)
            self.count += len(pixels)
            self._total += pixels.sum(axis=0).astype(np.int64)
            self._products += (pixels.T @ pixels).astype(np.int64)

    def mean(self) -> np.ndarray:
        """Return the mean (3,) of pixels in [0, 1]."""
        return self._total / (255 * self.count)

    def std(self) -> np.ndarray:
        """Return their deviation (3,), 1 of a channel that never varies."""
        variance = self.covariance().diagonal()
        return np.where(variance > 0, np.sqrt(variance), 1.0)

    def covariance(self) -> np.ndarray:
        """Return the covariance (3, 3) of pixels in [0, 1], about their mean."""
        n, total = self.count, self._total.tolist()
        differences = [  # of numbers that only Python holds whole
            [(n * product - total[i] * total[j]) / (255 * n) ** 2 for j, product in enumerate(row)]
            for i, row in enumerate(self._products.tolist())
        ]
        return np.array(differences)

    def components(self) -> Components:
        """Return the principal components of the colours."""
        values, vectors = np.linalg.eigh(self.covariance())
        return Components(np.maximum(values[::-1], 0), vectors[:, ::-1].copy())


def change_colours(
    pixels: np.ndarray,
    photo: float,
    colour: float,
    rng: np.random.Generator,
    components: Components = IMAGENET_COMPONENTS,
) -> np.ndarray:
    """Return pixels (h, w, 3) in other light, float32 where 1 is white, not clipped.

    photo   contrast, brightness and saturation in random order, each by alpha from
            U(1 - photo, 1 + photo): y = alpha x + (1 - alpha) z with z = mean grey, black,
            and grey of the pixel
    colour  each pixel + eigenvectors (alpha eigenvalues) of ``components``, alpha from
            N(0, colour) (Krizhevsky et al. 2012, section 4.1)

    All of it is one affine map of colours, y = x matrix + shift.
    """
    image = pixels.astype(np.float32)
    rows = image.reshape(len(image), -1).sum(axis=0).reshape(-1, 3)
    mean = rows.sum(axis=0, dtype=np.float64) / (255 * image[..., 0].size)
    matrix: np.ndarray = np.eye(3)
    shift: np.ndarray = np.zeros(3)
    for change in rng.permutation(3) if photo else ():
        alpha = rng.uniform(1 - photo, 1 + photo)
        grey = (mean @ matrix + shift) @ GREY
        blend = alpha * np.eye(3)
        if change == _SATURATION:
            blend += (1 - alpha) * GREY[:, None]
        matrix, shift = matrix @ blend, shift @ blend
        if change == _CONTRAST:
            shift += (1 - alpha) * grey
    if colour:
        shift += components.vectors @ (rng.normal(0, colour, 3) * components.values)
    changed: np.ndarray = image @ (matrix / 255).astype(np.float32)
    # a whole row at once: NumPy is slow over an innermost axis of three channels
    lines = changed.reshape(len(changed), -1)
    lines += np.tile(shift.astype(np.float32), changed.shape[1])
    return changed
