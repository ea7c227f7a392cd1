"""Tests a model on a dataset and writes its PREFIX_epochNNN.test file."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from denet.dataset import Dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.dataset.image.boxes import Boxes
from denet.dataset.loader import Batch, Loader
from denet.dataset.sample_key import first_shuffled
from denet.errors import DataError
from denet.evaluate.classifier import Classifier, check_fit
from denet.evaluate.detector import (
    DatasetDetections,
    Detector,
    detect_batches,
    detects,
    in_images,
)
from denet.evaluate.topk import TopErrors
from denet.evaluate.voc import evaluate_voc
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.training.checkpoint import RunFiles, optional, write_text
from denet.training.progress import follow
from denet.training.settings import TrainSettings
from denet.training.team import ALONE, Team

log = logging.getLogger(__name__)

TRAINING_PHOTOS = 100  # at most, that a detector is tested on beside the test set
FEWEST_PHOTOS = 30  # at least: of three, one object would decide


class Result(NamedTuple):
    """Errors of a test in per cent: of the first and of the five first answers, and in words.

    For detectors the error is what the mean average precision (area, IoU 0.5) lacks to 100 %.
    """

    error: float
    top5_error: float  # nan for detectors
    report: str


class Part(NamedTuple):
    """A set that a test goes through: how many batches it has, ``run`` tests at most so many."""

    batch_num: int
    run: Callable[[int], object]


class Tester:
    """Holds the prediction plans of ``model`` and the loader of the test set.

    A detector is also tested on images of ``train_set``, drawn once by the seed: as many as the
    test set has, from FEWEST_PHOTOS to TRAINING_PHOTOS. Raises DataError for a dataset that does
    not fit.
    """

    def __init__(
        self,
        model: Model,
        test_set: Dataset,
        settings: TrainSettings,
        backend: Backend,
        precision: str = "f32",
        train_set: Dataset | None = None,
        team: Team = ALONE,
    ):
        self._team = team
        check_targets(model, test_set)
        self._log_seconds = settings.log_every
        self._files = RunFiles(settings.output_prefix, settings.model_suffix)
        batch_size = min(settings.batch_size, len(test_set))
        kind = Detector if detects(model) else Classifier
        self._network: Detector | Classifier = kind(model, batch_size, backend, precision)
        if isinstance(test_set, DetectionDataset) and detects(model):
            warn_of_no_objects(test_set.boxes)
        self._loader = self._network.loader(test_set, settings.thread_num, team.share)
        self._training_photos: Loader | None = None
        if isinstance(train_set, DetectionDataset) and detects(model):
            known, tested = len(train_set.image_names), len(test_set.image_names)
            count = min(known, max(tested, FEWEST_PHOTOS), TRAINING_PHOTOS)
            photos = train_set.part(first_shuffled(settings.seed, known, count))
            self._training_photos = self._network.loader(photos, settings.thread_num, team.share)

    @property
    def arena_bytes(self) -> int:
        """Bytes of the activations of a test."""
        return self._network.arena_bytes

    @property
    def short_bytes(self) -> int:
        """Bytes that the shorter last batches of a test take."""
        return sum(self._network.short_bytes(each.epoch_samples) for each in self.loaders)

    @property
    def loaders(self) -> list[Loader]:
        """Those of the test set, and of training photos where they are tested."""
        return [self._loader, *([self._training_photos] if self._training_photos else [])]

    @property
    def parts(self) -> list[Part]:
        """What a test goes through: the test set, and training photos where they are tested."""
        parts = [Part(len(self._loader), lambda most: self.result(most_batches=most))]
        if photos := self._training_photos:
            parts += [Part(len(photos), lambda most: self.train_error(most_batches=most))]
        return parts

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Take over the weights to test, plain float32 arrays by path."""
        self._network.load(values)

    def test(
        self,
        epoch: int,
        each: Callable[[], None] = lambda: None,
        most_batches: int | None = None,
    ) -> Result:
        """Return what ``result`` does and write its report for the model of this epoch."""
        result = self.result(each, most_batches)
        if self._team.leads:
            with optional(self._files.test(epoch)):
                write_text(self._files.test(epoch), result.report)
        return result

    def result(
        self, each: Callable[[], None] = lambda: None, most_batches: int | None = None
    ) -> Result:
        """Return the errors over the test set.

        ``each`` is called after every batch; ``most_batches`` cuts the test short. Raises
        BadDataError if no image of it can be read.
        """
        result = self._result(self._loader, "test", each, most_batches)
        self._loader.dataset.check_usable()
        return result

    def train_error(
        self, each: Callable[[], None] = lambda: None, most_batches: int | None = None
    ) -> float:
        """Return the error over training photos as prediction sees them, nan if none is tested."""
        if self._training_photos is None:
            return math.nan
        return self._result(self._training_photos, "training photos", each, most_batches).error

    def _result(
        self, loader: Loader, title: str, each: Callable[[], None], most_batches: int | None
    ) -> Result:
        def batches() -> Iterator[Batch]:
            followed = follow(loader, 0, title, self._log_seconds)
            for batch, _ in islice(followed, most_batches):
                if batch.counted:
                    yield batch
                each()

        return self._compare(loader.dataset, batches())

    def _compare(self, dataset: Dataset, batches: Iterable[Batch]) -> Result:
        labels = dataset.class_labels
        if isinstance(self._network, Classifier):
            errors = self._network.errors(dataset, batches)
            errors = TopErrors.joined(self._team.gather(errors))
            return Result(errors.top1_error, errors.top_error, errors.report(labels))
        assert isinstance(dataset, DetectionDataset)
        params = self._network.params
        found = detect_batches(self._network, dataset, batches)
        found = DatasetDetections.joined(self._team.gather(found))
        boxes = in_images(found, dataset, params)
        precision = evaluate_voc(boxes, dataset, len(labels), params.match_iou)
        error = 100 * (1 - precision.mean_ap_area)
        return Result(error, math.nan, f"{precision.report(labels)}\n")


def warn_of_no_objects(boxes: Boxes) -> None:
    """Tell a test of detection in which nothing counts."""
    if not boxes.scored.any():
        log.warning(
            "the test set has no objects%s: no test error, and no best model: give another "
            "--test, or with --val-split another --seed or a larger --val-split",
            " but difficult ones, which do not count" * (len(boxes) > 0),
        )


def check_targets(model: Model, dataset: Dataset) -> None:
    """Raise DataError unless a dataset has the model's classes, image shape and kind of targets."""
    check_fit(model, dataset)
    needs_boxes = detects(model)
    if needs_boxes and not dataset.boxed:
        raise DataError(
            "dataset: it has no boxes in its images, which a network that ends in DND needs: give "
            "--extension auto, or that of their layout"
        )
    if not needs_boxes and not dataset.classified:
        raise DataError(
            "dataset: its images have boxes but no class of their own: end the network in DND, not "
            f"in {model.token(len(model.layers))}"
            ": model-info --data DIR prints a whole line with such a --model-desc"
        )
