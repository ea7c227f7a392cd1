"""PREFIX.state: all that a training needs to go on as if it had never stopped.

The file is a .mdl file of the model in training, with the averages of the solver and a record
beside it. Order, distortions and dropout are functions of (seed, epoch, sample), so that there is
no state of random numbers to keep.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from zlib import crc32

import numpy as np

from denet.dataset import Dataset
from denet.dataset.image.colours import Components
from denet.errors import DataError, UsageError
from denet.kind import Integer, Kind, Real
from denet.model.format import SIGNATURE_BYTES, check_content
from denet.model.format.content import open_file
from denet.model.format.mdl import Attachment, read_attached, write
from denet.model.format.record import Record
from denet.model.model import Model
from denet.training.position import Metrics, Position
from denet.training.settings import OF_THE_STATE, TrainSettings

log = logging.getLogger(__name__)

_NAMES = 1 << 16  # read at one go
IMAGES = "images"  # the name of their checksums beside the averages

COUNT = Integer(0, 10**15)
FINITE = Real(-sys.float_info.max, sys.float_info.max)
NOT_NEGATIVE = Real(0, sys.float_info.max)
SECONDS = Real(0, 1e9)
PERCENT = Real(-0.001, 100.001)  # a difference of sums may be a little beside
CHECKSUM = Integer(0, 2**64 - 1)
POSITION: dict[str, Kind] = {
    "epoch": COUNT,
    "step": COUNT,
    "cost": FINITE,
    "samples": COUNT,
    "train_seconds": SECONDS,
    "wait_seconds": SECONDS,
    "learn_rate": NOT_NEGATIVE,
}
LONGEST = 1.000001  # principal component, but for rounding
TIMES = ("train_seconds", "wait_seconds")  # that every row of the history has
ROW: dict[str, Kind] = {
    **dict.fromkeys((*TIMES, "test_seconds"), SECONDS),
    **dict.fromkeys(("test_error", "test_top5_error", "train_error"), PERCENT),
}  # other columns: FINITE
COLUMN = re.compile(r"[\w.:-]{1,200}", re.ASCII)  # what one may be called
# what tells datasets from each other, in words
DIFFERENCES = {
    "epoch_samples": "subset_num",
    "checksum": "names or labels",
    "pixels": "pixels",
    "boxes": "boxes",
    "files": "sizes of the files",
    "difficult": "difficult objects",
    "training_difficult": "difficult objects among the training images",
}


@dataclass
class State:
    """A training that can go on as if it had never stopped.

    model       with its weights and running statistics
    averages    what is averaged over the steps, {average/path: array}
    iteration   updates made in the whole training
    position    in the training
    best_error  lowest test error of the epochs before this one, in per cent
    history     rows of PREFIX_metrics.csv of the epochs before this one
    settings    options that the training depends on
    data        what ``dataset_record`` says of the training set
    test_data   what it says of the test set, nothing where there is none
    images      ``image_checksums`` of the training set
    components  along which its colours are shifted, where they are its own
    """

    model: Model
    averages: Mapping[str, np.ndarray]
    iteration: int
    position: Position
    best_error: float = math.inf
    history: Sequence[Metrics] = ()
    settings: TrainSettings = field(default_factory=TrainSettings)
    data: Mapping[str, int] = field(default_factory=dict)
    test_data: Mapping[str, int] = field(default_factory=dict)
    images: np.ndarray = field(default_factory=partial(np.zeros, 0, np.float32))
    components: Components | None = None

    def check(
        self, settings: TrainSettings, train_set: Dataset, test_data: Mapping[str, int]
    ) -> None:
        """Raise DataError unless it is the training set, UsageError where settings differ.

        What may be changed within a training is told where it differs, the test set too.
        """
        data = dataset_record(train_set)
        if settings.epochs <= self.position.epoch:
            raise UsageError(
                f"resume: epochs: {settings.epochs}: the run is in epoch {self.position.epoch + 1} "
                "already: give at least as many"
            )
        self._check_step(settings)
        began = self.settings.record()
        for name, value in settings.record().items():
            option, before = name.replace("_", "-"), began[name]
            if value == before:
                continue
            if name in OF_THE_STATE:
                raise UsageError(
                    f"resume: {option}: {value} but the run began with {before}: leave it out, or "
                    "start a new run with --model"
                )
            log.warning("resume: %s: %s instead of %s from here on", option, value, before)
        change = _change(self.data, data)
        if change and not self._has_only_damage(train_set):
            raise DataError(
                f"resume: the training set has changed: {change}: bring that set back, or start a "
                "new run with --model"
            )
        self._check_position(data["epoch_samples"])
        if change := _change(self.test_data, test_data):
            log.warning(
                "resume: the test set has changed: %s: errors from here on cannot be compared with "
                "those before",
                change,
            )

    def _has_only_damage(self, train_set: Dataset) -> bool:
        """Say whether all that differs from the training set are images that are damaged now."""
        now = train_set.image_checksums()
        if not len(now) or now.shape != self.images.shape:
            return False
        if train_set.epoch_samples != self.data.get("epoch_samples"):
            return False
        for image in np.flatnonzero(now != self.images).tolist():
            sample = np.array([image * train_set.view_num])
            train_set.read(sample)  # which finds out
            if train_set.usable(sample).all():
                return False
        return True

    def _check_step(self, settings: TrainSettings) -> None:
        """Raise UsageError unless a step takes as many images as before, in however many parts."""
        before = self.settings.step_images
        if settings.step_images != before:
            ranks = f" times {settings.ranks} ranks" * (settings.ranks > 1)
            raise UsageError(
                f"resume: batch-size {settings.batch_size} times batch-size-factor "
                f"{settings.batch_size_factor}{ranks} is not {before} as before: keep the product"
            )

    def _check_position(self, samples: int) -> None:
        """Raise DataError unless a training on so many samples can have come here."""
        at, size = self.position, self.settings.step_images
        steps = -(-samples // size)
        done = at.epoch * steps + at.step
        if at.step > steps or self.iteration != done or at.samples != min(at.step * size, samples):
            raise DataError(
                f"resume: damaged state: iteration {self.iteration} and {at.samples} samples at "
                f"step {at.step} of epoch {at.epoch + 1}, whose steps are {steps} of {size} "
                "images: take another copy"
            )


def _change(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    """Say how a dataset differs from what was recorded, "" if it does not.

    What an earlier version did not record is taken to be the same.
    """
    other = [name for name, value in before.items() if now.get(name) != value]
    if not other:
        return ""
    count = f"{now.get('samples', 0)} images, {before.get('samples')} when the run began"
    if "samples" in other:  # all else follows from that
        return count
    words = " and ".join(DIFFERENCES[name] for name in other if name in DIFFERENCES)
    return f"{count}, with other {words}" if words else count


def dataset_record(dataset: Dataset) -> dict[str, int]:
    """Return what tells a dataset from others: number, names, labels and content of its images."""
    return {
        "samples": len(dataset),
        "epoch_samples": dataset.epoch_samples,
        "checksum": crc32(dataset.labels.data, _names_checksum(dataset.names)),
        **dataset.fingerprint(),
    }


def tested_record(test_set: Dataset, train_set: Dataset) -> dict[str, int]:
    """Return the record of a test set, and which objects count, of training images too."""
    trained = train_set.scored_fingerprint()
    return {
        **dataset_record(test_set),
        **test_set.scored_fingerprint(),
        **{f"training_{name}": value for name, value in trained.items()},
    }


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
    own = state.components
    record = {
        "iteration": state.iteration,
        "position": asdict(state.position),
        "best_error": _json(state.best_error),
        "history": [{name: _json(value) for name, value in row.items()} for row in state.history],
        "settings": state.settings.record(),
        "data": dict(state.data),
        "test_data": dict(state.test_data),
        "components": own and {name: part.ravel().tolist() for name, part in own._asdict().items()},
    }
    images = {IMAGES: state.images} if len(state.images) else {}
    write(state.model, path, Attachment({**state.averages, **images}, record))


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
    for name, average in averages.items():
        if not np.isfinite(average).all():
            raise record.fault(f"{name!r} holds nan or inf")
    settings = TrainSettings.read(record.record("settings"))
    position = _position(record.record("position"))
    if position.epoch >= settings.epochs:
        raise record.fault(f"epoch {position.epoch + 1} of {settings.epochs}")
    images = {"images": averages[IMAGES]} if IMAGES in averages else {}
    return State(
        model,
        {name: value for name, value in averages.items() if name != IMAGES},
        record.checked("iteration", COUNT),
        position,
        record.checked("best_error", PERCENT, math.inf),
        _history(record, position.epoch),
        settings,
        _data(record.record("data")),
        _data(record.record("test_data")),
        **images,
        components=_components(record),
    )


def _json(value: float) -> float | None:
    """JSON knows no number for nothing and none for infinity."""
    return value if math.isfinite(value) else None


def _position(record: Record) -> Position:
    # earlier versions did not tell the learn rate
    told = Record({"learn_rate": 0.0} | record.values, record.where)
    found = {name: told.checked(name, kind) for name, kind in POSITION.items()}
    position = Position(**found, columns=_columns(record.record("columns")))
    begun = (position.step > 0, position.samples > 0, position.train_seconds > 0)
    if len(set(begun)) > 1 or (position.cost and not position.step):
        raise record.fault("steps, samples, seconds and cost of an epoch do not fit together")
    return position


def _columns(record: Record) -> dict[str, tuple[float, float]]:
    columns: dict[str, tuple[float, float]] = {}
    for name in record.values:
        sums = record.numbers(name)
        if len(sums) != 2 or not all(map(math.isfinite, sums)) or sums[1] < 0:
            raise record.fault(f"{name!r} is not a sum and a number")
        columns[_column(name, record)] = sums[0], sums[1]
    return columns


def _history(record: Record, epoch: int) -> list[Metrics]:
    """Return a row for each epoch before this one."""
    rows = record.get("history")
    if not isinstance(rows, list) or len(rows) != epoch:
        raise record.fault(f"'history' is not a list of {epoch} epochs")
    return [_row(Record(row, record.where), number) for number, row in enumerate(rows, 1)]


def _row(record: Record, epoch: int) -> Metrics:
    if record.number("epoch") != epoch:
        raise record.fault(f"a row of the history is not that of epoch {epoch}")
    for name in TIMES:
        record.checked(name, SECONDS)
    return {
        _column(name, record): record.checked(name, ROW.get(name, FINITE), math.nan)
        for name in dict.fromkeys([*record.values, "test_seconds"])
    }


def _column(name: str, record: Record) -> str:
    if not COLUMN.fullmatch(name):
        raise record.fault(f"{name!r:.80} is not the name of a column")
    return name


def _data(record: Record) -> dict[str, int]:
    return {name: record.checked(name, CHECKSUM) for name in record.values}


def _components(record: Record) -> Components | None:
    if "components" not in record:
        return None
    told = record.record("components")
    values, vectors = (np.array(told.numbers(name)) for name in Components._fields)
    fits = (values >= 0).all() and (np.abs([*values, *vectors]) <= LONGEST).all()
    if (len(values), len(vectors)) != (3, 9) or not fits:
        raise told.fault("not the principal components of colours from 0 to 1")
    return Components(values, vectors.reshape(3, 3))
