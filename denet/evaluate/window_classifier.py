"""A classifier of windows of the map that the first part of a network makes of an image (ccv)."""

from __future__ import annotations

import math

import numpy as np

from denet.dataset.image.options import Size
from denet.dataset.loader import Images
from denet.evaluate.classifier import Classifier
from denet.graph.kernel import Backend
from denet.model.sliding import FEATURES, Sliding

_WINDOWS = 5


class WindowClassifier(Classifier):
    """Gives the mean class probability of five windows of a map: corners and centre.

    Each is as large as the map of an image of the network's own size. Images have this ``size``,
    or any where ``any_size`` is set. Raises UsageError for a network that does not end with R.
    """

    needs = FEATURES

    def __init__(
        self,
        sliding: Sliding,
        size: Size,
        batch_size: int,
        backend: Backend,
        precision: str = "f32",
        any_size: bool = False,
    ):
        assert sliding.head
        self._head = Classifier(sliding.head, _WINDOWS * batch_size, backend, precision)
        at = sliding.at if any_size else None
        super().__init__(sliding.at(*size), batch_size, backend, precision, at)

    @property
    def more_bytes(self) -> int:
        windows = 4 * self._head.batch_size * math.prod(self._head.model.input_shape)
        return self._head.arena_bytes + 2 * windows

    def probabilities(self, data: Images) -> np.ndarray:
        maps = self.outputs(data)[FEATURES]
        _, height, width = self._head.model.input_shape
        down, right = maps.shape[1] - height, maps.shape[2] - width
        middle = -(-down // 2), -(-right // 2)
        corners = [middle, (0, 0), (0, right), (down, 0), (down, right)]
        windows = [maps[:, y : y + height, x : x + width] for y, x in corners]
        found = self._head.probabilities(np.concatenate(windows))
        mean: np.ndarray = found.reshape(_WINDOWS, len(data), -1).mean(axis=0)
        return mean
