"""Tests a model on a dataset and writes its PREFIX_epochNNN.test file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np

from denet.dataset import Dataset
from denet.dataset.loader import Batch, Loader
from denet.evaluate.classifier import Classifier, check_fit
from denet.evaluate.topk import TopErrors
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.train.checkpoint import RunFiles, write_text
from denet.train.progress import follow
from denet.train.settings import TrainSettings


class Tester:
    """Holds the prediction plans of ``model`` and the loader of the test set.

    Raises DataError for a dataset that does not fit the model.
    """

    def __init__(
        self,
        model: Model,
        test_set: Dataset,
        settings: TrainSettings,
        backend: Backend,
        precision: str = "f32",
    ):
        check_fit(model, test_set)
        self._log_seconds = settings.log_every
        self._class_labels = model.class_labels
        self._files = RunFiles(settings.output_prefix, settings.model_suffix)
        batch_size = min(settings.batch_size, len(test_set))
        self._classifier = Classifier(model, batch_size, backend, precision)
        self._loader = Loader(
            test_set,
            batch_size,
            model.preprocessing,
            thread_num=settings.thread_num,
            training=False,
        )

    @property
    def arena_bytes(self) -> int:
        """Bytes of the activations of a test."""
        return self._classifier.arena_bytes

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Take over the weights to test, plain float32 arrays by path."""
        self._classifier.load(values)

    def test(
        self,
        epoch: int,
        each: Callable[[], None] = lambda: None,
        most_batches: int | None = None,
    ) -> TopErrors:
        """Return the errors over the test set and write them for the model of this epoch.

        ``each`` is called after every batch; ``most_batches`` cuts the test short.
        """

        def batches() -> Iterator[Batch]:
            followed = follow(self._loader, 0, "test", self._log_seconds)
            for batch, _ in islice(followed, most_batches):
                yield batch
                each()

        errors = self._classifier.errors(batches())
        write_text(self._files.test(epoch), errors.report(self._class_labels))
        return errors
