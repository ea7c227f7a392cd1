"""A model made ready to say the class of every part of an image, and how right that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from denet.dataset.loader import Images
from denet.errors import UsageError
from denet.evaluate.predictor import Predictor, check_numbers
from denet.evaluate.voc import in_words
from denet.graph.kernel import Backend
from denet.model.model import Model

NO_CLASS = 255  # in place of a class id: unknown, or not seen, and so not counted


class Segmenter(Predictor):
    """A model whose last map has several positions. Raises UsageError for another."""

    needs = "class_map"
    lacking = (
        "it says one class of the whole image, segment needs one at each position of a map: end "
        "its network in R[1], without P.A or .C"
    )

    def __init__(self, model: Model, batch_size: int, backend: Backend, precision: str = "f32"):
        if len(model.class_labels) > NO_CLASS:
            raise UsageError(
                f"model: {len(model.class_labels)} classes: segment takes up to {NO_CLASS}, for "
                "pictures of class ids have 8 bits"
            )
        super().__init__(model, batch_size, backend, precision)

    def class_ids(self, data: Images, names: Sequence[str]) -> np.ndarray:
        """Return the likeliest class (n, h, w) uint8 at each position of the last map.

        ``data`` (n, h, w, c) are normalised images, ``names`` theirs for messages; n is at most
        ``batch_size``. Raises DataError where the outputs are not numbers.
        """
        logits = self.outputs(data)["class_map"]
        check_numbers(logits, names)
        return logits.argmax(axis=3).astype(np.uint8)


def over_image(
    class_ids: np.ndarray, shape: tuple[int, int], input_shape: tuple[int, int]
) -> np.ndarray:
    """Return the class (H, W) uint8 at each pixel of an image of ``shape`` (H, W), NO_CLASS beside.

    ``class_ids`` (h, w) are of a map that lies evenly over the network input (height, width), which
    shows the middle of the image scaled to cover it. The nearest position counts.
    """
    scale = max(seen / length for seen, length in zip(input_shape, shape, strict=True))
    places = []
    for length, seen, count in zip(shape, input_shape, class_ids.shape, strict=True):
        pixel = (np.arange(length) + 0.5 - length / 2) * scale + seen / 2  # of the network input
        place = np.floor(pixel * count / seen).astype(np.int64)
        places.append(np.where((place >= 0) & (place < count), place, count))
    bordered = np.pad(class_ids, (0, 1), constant_values=NO_CLASS)
    pixels: np.ndarray = bordered[np.ix_(*places)]
    return pixels


class PositionCounts:
    """Positions counted by their true and their predicted class, gathered image by image.

    pairs  (k, k) int64 positions of each true class (row) by predicted class (column)
    """

    def __init__(self, class_num: int):
        self.pairs = np.zeros((class_num, class_num), np.int64)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        """Take class ids of one shape; where either is NO_CLASS it is not counted."""
        counted = (true != NO_CLASS) & (predicted != NO_CLASS)
        pairs = true[counted].astype(np.int64) * len(self.pairs) + predicted[counted]
        self.pairs += np.bincount(pairs, minlength=self.pairs.size).reshape(self.pairs.shape)

    @property
    def overall_accuracy(self) -> float:
        """Share of the positions whose class is right; nan without positions."""
        return float(_share(np.trace(self.pairs), self.pairs.sum()))

    @property
    def accuracy(self) -> np.ndarray:
        """Share (k,) of all positions that are rightly said to be of the class or not of it."""
        right, missed, false, rest = self._outcomes()
        return _share(right + rest, right + missed + false + rest)

    @property
    def true_positive_rate(self) -> np.ndarray:
        """Share (k,) of the positions of the class that are said to be of it; nan without any."""
        right, missed, _, _ = self._outcomes()
        return _share(right, right + missed)

    @property
    def false_positive_rate(self) -> np.ndarray:
        """Share (k,) of the positions of other classes that are said to be of the class."""
        _, _, false, rest = self._outcomes()
        return _share(false, false + rest)

    def report(self, class_labels: Sequence[str]) -> str:
        """Return a line per class and the overall accuracy, ``-`` where there is nothing."""
        lines = ["accuracy / TPR / FPR of each class against the others:"]
        columns = (self.accuracy, self.true_positive_rate, self.false_positive_rate)
        counts = self.pairs.sum(axis=1).tolist()
        for name, count, *shares in zip(class_labels, counts, *columns, strict=True):
            lines.append(f"{name} {' / '.join(map(in_words, shares))} ({count} positions)")
        return "\n".join([*lines, f"overall accuracy {in_words(self.overall_accuracy)}"])

    def _outcomes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return positions (k,): of the class and found, missed; of others, taken for it, not."""
        right = np.diagonal(self.pairs)
        missed, false = self.pairs.sum(axis=1) - right, self.pairs.sum(axis=0) - right
        return right, missed, false, self.pairs.sum() - right - missed - false


def _share(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """Return part / whole, nan where there is no whole."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
