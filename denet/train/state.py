"""PREFIX.state: all that a training needs to go on as if it had never stopped.

The file is a .mdl file of the model in training, with the averages of the solver and a record
beside it. Order, distortions and dropout are functions of (seed, epoch, sample), so that there is
no state of random numbers to keep.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from denet.dataset import Dataset
from denet.dataset.image_loader import DetectionDataset
from denet.errors import DataError, UsageError
from denet.model.format import SIGNATURE_BYTES, check_content
from denet.model.format.content import open_file
from denet.model.format.mdl import Attachment, read_attached, write
from denet.model.format.record import Record
from denet.model.model import Model
from denet.train.settings import OF_THE_STATE, TrainSettings

log = logging.getLogger(__name__)

Metrics = dict[str, float]  # a row of metrics.csv
_NAMES = 1 << 16  # read at one go
NEEDED = {"epoch", "train_seconds", "wait_seconds", "test_seconds"}  # of earlier rows, for the log


@dataclass
class Position:
    """How far a training is: in ``epoch`` (from 0), after ``step`` of its updates.

    ``cost`` is summed over the ``samples`` of this epoch so far; then the seconds they took, the
    learn rate of the last update, and (sum, number) of what else metrics.csv tells, by column.
    """

    epoch: int = 0
    step: int = 0
    cost: float = 0.0
    samples: int = 0
    train_seconds: float = 0.0
    wait_seconds: float = 0.0
    learn_rate: float = 0.0
    columns: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass
class State:
    """A training that can go on as if it had never stopped.

    model       with its weights and running statistics
    averages    running averages of the solver, {average/path: array}
    iteration   updates made in the whole training
    position    in the training
    best_error  lowest test error of the epochs before this one, in per cent
    history     rows of metrics.csv of the epochs before this one
    settings    options that the training depends on
    data        what ``dataset_record`` says of the training set
    """

    model: Model
    averages: Mapping[str, np.ndarray]
    iteration: int
    position: Position
    best_error: float = math.inf
    history: Sequence[Metrics] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def check(self, settings: TrainSettings, data: Mapping[str, Any]) -> None:
        """Raise DataError unless ``data`` is the training set, UsageError where settings differ.

        What may be changed within a training is told where it differs.
        """
        if settings.epochs <= self.position.epoch:
            raise UsageError(
                f"resume: epochs: {settings.epochs}: the run is in epoch {self.position.epoch + 1} "
                "already: give at least as many"
            )
        self._check_step(settings)
        for name, value in settings.record().items():
            option, before = name.replace("_", "-"), self.settings.get(name)
            if value == before:
                continue
            if name in OF_THE_STATE:
                raise UsageError(
                    f"resume: {option}: {value} but the run began with {before}: leave it out, or "
                    "start a new run with --model"
                )
            log.warning("resume: %s: %s instead of %s from here on", option, value, before)
        # what an earlier version did not record is taken to be the same
        if dict(data) | self.data != dict(data):
            raise DataError(
                f"resume: the training set has changed: {data['samples']} images, "
                f"{self.data.get('samples')} when the run began, with other names, labels, "
                "boxes or subset_num: bring that set back, or start a new run with --model"
            )

    def _check_step(self, settings: TrainSettings) -> None:
        """Raise UsageError unless a step takes as many images as before, in however many parts."""
        sizes = [self.settings.get(name) for name in ("batch_size", "batch_size_factor")]
        before = math.prod(size for size in sizes if isinstance(size, int))
        if settings.batch_size * settings.batch_size_factor != before:
            raise UsageError(
                f"resume: batch-size {settings.batch_size} times batch-size-factor "
                f"{settings.batch_size_factor} is not {before} as before: keep the product"
            )


def dataset_record(dataset: Dataset) -> dict[str, Any]:
    """Return what tells a training set from others: numbers of samples, names, labels, boxes."""
    checksum = crc32(dataset.labels.data, _names_checksum(dataset.names))
    record = {"samples": len(dataset), "epoch_samples": dataset.epoch_samples, "checksum": checksum}
    if isinstance(dataset, DetectionDataset):
        record["boxes"] = dataset.boxes.checksum()
    return record


def _names_checksum(names: Sequence[str]) -> int:
    """Return the checksum of the names of files without directories, with a zero between them."""
    checksum = 0
    for start in range(0, len(names), _NAMES):
        text = "\0".join(map(os.path.basename, names[start : start + _NAMES]))
        text = "\0" * (start > 0) + text
        checksum = crc32(text.encode(errors="surrogateescape"), checksum)
    return checksum


def write_state(state: State, path: str | os.PathLike[str]) -> None:
    """Write the file whole or not at all. Raises DataError."""
    record = {
        "iteration": state.iteration,
        "position": asdict(state.position),
        "best_error": _json(state.best_error),
        "history": [{name: _json(value) for name, value in row.items()} for row in state.history],
        "settings": state.settings,
        "data": state.data,
    }
    write(state.model, path, Attachment(state.averages, record))


def read_state(path: str | os.PathLike[str]) -> State:
    """Return what ``write_state`` wrote. Raises DataError for any other file."""
    source = os.fspath(path)
    try:
        with open_file(source) as file:
            check_content(file.read(SIGNATURE_BYTES), ".mdl", source)
        model, (averages, values) = read_attached(source)
    except OSError as error:
        raise DataError(f"cannot read the state: {source}: {error.strerror}") from error
    record = Record(values, source)
    place, rows = record.record("position"), record.get("history")
    if not isinstance(rows, list):
        raise record.fault("'history' is not a list")
    position = Position(
        *(place.integer("epoch"), place.integer("step"), place.number("cost")),
        *(place.integer("samples"), place.number("train_seconds"), place.number("wait_seconds")),
        place.number("learn_rate", 0.0),
        _columns(place.record("columns")),
    )
    iteration = record.integer("iteration")
    if min(position.epoch, position.step, position.samples, iteration) < 0:
        raise place.fault("a negative number")
    if position.step and not position.samples:
        raise place.fault("steps without samples")
    record.record("settings").integer("epochs")
    return State(
        model,
        averages,
        iteration,
        position,
        record.number("best_error", math.inf),
        [_row(Record(row, source)) for row in rows],
        record.record("settings").values,
        record.record("data").values,
    )


def _json(value: float) -> float | None:
    """JSON knows no number for nothing and none for infinity."""
    return value if math.isfinite(value) else None


def _columns(record: Record) -> dict[str, tuple[float, float]]:
    columns: dict[str, tuple[float, float]] = {}
    for name in record.values:
        if len(sums := record.numbers(name)) != 2:
            raise record.fault(f"{name!r} is not a sum and a number")
        columns[name] = sums[0], sums[1]
    return columns


def _row(record: Record) -> Metrics:
    if missing := NEEDED - record.values.keys():
        raise record.fault(f"no {min(missing)!r} in a row of the history")
    return {name: record.number(name, math.nan) for name in record.values}
