"""A model made ready to predict: what classifiers and detectors share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from denet.dataset import Dataset
from denet.dataset.loader import WHOLE, Images, Loader, Share
from denet.errors import DataError, UsageError
from denet.evaluate.any_size import NormaliseAnySize, SizePlans
from denet.evaluate.plan_set import PlanSet
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.printable import printable


class Predictor:
    """Prediction plans of a model, batch norm folded, for batches of up to ``batch_size`` images.

    Holds a copy of the weights: ``load`` takes others. A class derived from this says which output
    it needs, and what a model without it is lacking. ``at`` gives the model for images of another
    (width, height), where batches of such may come. Raises UsageError for a model that lacks the
    output, and OutOfMemoryError.
    """

    needs: ClassVar[str]
    lacking: ClassVar[str]

    def __init__(
        self,
        model: Model,
        batch_size: int,
        backend: Backend,
        precision: str = "f32",
        at: Callable[[int, int], Model] | None = None,
    ):
        if self.needs not in model.graph(1).outputs:
            raise UsageError(f"model: {self.lacking}")
        self.model = model
        self.batch_size = batch_size
        self._plans = PlanSet(model.graph, batch_size, backend, "predict", precision)
        self._sizes = SizePlans(self._plans, at) if at else None
        self.load(model.values())

    @property
    def arena_bytes(self) -> int:
        """Bytes of the activations of a full batch."""
        return self._plans.full.arena_bytes

    def short_bytes(self, sample_num: int) -> int:
        """Return the bytes that the shorter last batch of so many samples takes, if any."""
        return self._plans.short_bytes(sample_num)

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Take over parameters and running statistics, plain float32 arrays by path."""
        self._plans.full.load(values)

    def loader(self, dataset: Dataset, thread_num: int | None = 1, share: Share = WHOLE) -> Loader:
        """Return what gives the dataset in batches as the model takes them, in order.

        Raises OutOfMemoryError if there is less memory than to go through them takes.
        """
        loader = Loader(
            dataset,
            self.batch_size,
            self.model.preprocessing,
            thread_num=thread_num,
            training=False,
            normalise=NormaliseAnySize(self.model.preprocessing) if self._sizes else None,
            feed=self._plans.full.memory.feed,
            share=share,
        )
        images = loader.working_bytes + loader.process_bytes + self.more_bytes
        self._plans.check_memory("prediction", images, ahead_bytes=loader.ahead_bytes)
        return loader

    @property
    def more_bytes(self) -> int:
        """Bytes of what a full batch takes beside its activations."""
        return 0

    def outputs(self, data: Images) -> dict[str, np.ndarray]:
        """Return what the network says of normalised images (n, h, w, c), by name.

        The arrays are valid until the next call; n is at most ``batch_size``. Raises
        OutOfMemoryError where images of another size are too large.
        """
        n, height, width, _ = data.shape
        if self._sizes and (height, width) != self.model.input_shape[1:]:
            return self._sizes[n, height, width].run({"data": data})
        return self._plans[n].run({"data": data})


def check_numbers(values: np.ndarray, names: Sequence[str]) -> None:
    """Raise DataError unless what a model says of images with these names (n, ...) is numbers."""
    numbers = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not numbers.all():
        raise DataError(
            f"model: its answer is not a number: {printable(names[int(np.argmin(numbers))])}: the "
            "weights are damaged or diverged in training: take the model of an earlier epoch"
        )
