"""What ``import denet`` offers: a trained model that answers, and a training."""

from __future__ import annotations

import csv
import logging
import os
import threading
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from PIL import Image

from denet.cli import predict as predict_command
from denet.cli import train as train_command
from denet.cli.command import Parser, start_log
from denet.cli.options import engine
from denet.dataset.base import thread_count
from denet.errors import UsageError, nearest_hint
from denet.evaluate.detect_params import parse_params
from denet.evaluate.detector import detects
from denet.kind import Flag
from denet.model.format import load_model
from denet.predict.answerer import ClassAnswerer, ObjectAnswerer, Picture, answerer
from denet.predict.classify import Answer
from denet.predict.detect import Found
from denet.training.checkpoint import RunFiles

Value: TypeAlias = (
    "str | int | float | bool | os.PathLike[str] | Sequence[str | int | float] | None"
)


_ONE = (str, os.PathLike, bytes, np.ndarray, Image.Image)


@dataclass(frozen=True)
class Objects:
    """What a model finds in one picture, the best first."""

    name: str  # the file, or which of the pictures it was
    labels: list[str]  # (d,) the class of each object
    scores: np.ndarray  # (d,) float32
    boxes: np.ndarray  # (d, 4) float32: x0, y0, x1, y1 in pixels of the upright picture

    def __len__(self) -> int:
        return len(self.labels)


class LoadedModel:
    """A trained model, ready to predict; ``denet.load`` makes it.

    path          the file it was read from
    class_labels  names of its classes
    input_shape   (channels, height, width) of its input
    detects       whether it finds objects, else it classifies whole pictures
    """

    def __init__(self, path: str | os.PathLike[str], options: Mapping[str, Value]):
        built = predict_command.parser()
        values = read_options(built, {"model": path, **options})
        self._values, self._params = values, parse_params(values.params)
        self._backend, self._precision = engine(values)
        self._model = load_model(values.model)
        self.path: str = values.model
        self.class_labels = self._model.class_labels
        self.input_shape = self._model.input_shape
        self.detects = detects(self._model)
        self._answerer: ClassAnswerer | ObjectAnswerer | None = None
        self._turn = threading.Lock()  # an answerer has one memory
        predict_command.check_answers(values, built.options, self._model)

    def __repr__(self) -> str:
        channels, height, width = self.input_shape
        return (
            f"<{self.path}: {'detects' if self.detects else 'tells'} {len(self.class_labels)} "
            f"classes, input {width}x{height}, {channels} channels>"
        )

    @overload  # a path is a sequence of letters too
    def predict(self, images: Picture) -> Answer | Objects: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: Sequence[Picture]) -> list[Answer | Objects]: ...
    def predict(
        self, images: Picture | Sequence[Picture]
    ) -> Answer | Objects | list[Answer | Objects]:
        """Return what model-predict says of one picture, or a list of it for several.

        A picture is a path, an image of Pillow, the bytes of an image file, or an array (h, w, 3)
        or (h, w) of uint8; an array (n, h, w, 3) is several. Of a classifier the answer has
        ``classes``, (class, probability) from the likeliest down; of a detector it is ``Objects``.
        Threads take turns; on a GPU only the one that has loaded the model asks it. Raises
        UsageError for what is no picture, DataError for one that cannot be read.
        """
        several = isinstance(images, np.ndarray) and images.ndim == 4
        if not several and isinstance(images, _ONE):
            return self._answers([images])[0]
        return self._answers(list(images))  # type: ignore[arg-type]

    def _answers(self, pictures: Sequence[Picture]) -> list[Answer | Objects]:
        values, answers = self._values, list[Answer | Objects]()
        if not pictures:
            return answers
        with self._turn, ThreadPoolExecutor(thread_count(values.thread_num)) as pool:
            ready = self._ready(min(values.batch_size, len(pictures)))
            for first in range(0, len(pictures), ready.batch_size):
                batch = pictures[first : first + ready.batch_size]
                names = [_name(each, first + row) for row, each in enumerate(batch)]
                limits = [values.max_image_pixels] * len(batch)
                samples = list(pool.map(ready.sample, batch, names, limits))
                answers += map(self._told, ready.answers(samples))
        return answers

    def _ready(self, batch_size: int) -> ClassAnswerer | ObjectAnswerer:
        """Return what answers batches of so many at least, made anew where they have grown."""
        if self._answerer is None or self._answerer.batch_size < batch_size:
            how = self._backend, self._precision, self._values.top, self._params
            self._answerer = None  # and its memory
            self._answerer = answerer(self._model, batch_size, *how)
        return self._answerer

    def _told(self, answer: Answer | Found) -> Answer | Objects:
        if isinstance(answer, Answer):
            return answer
        found = answer.objects
        labels = [self.class_labels[each] for each in found.class_index]
        return Objects(answer.name, labels, found.score, found.box)


class Run:
    """A finished training; ``denet.train`` makes it.

    directory  where its files are
    final      the model file of the end
    best       that of the least test error, None where nothing was tested
    """

    def __init__(self, files: RunFiles, epochs: int):
        self.directory, self.final = files.directory, files.final(epochs)
        self.best: Path | None = files.best if files.best.exists() else None
        self._metrics = files.metrics

    def __repr__(self) -> str:
        return f"<run: {self.best or self.final}>"

    @cached_property
    def model(self) -> LoadedModel:
        """The best model where a test has chosen one, else the final one."""
        return LoadedModel(self.best or self.final, {})

    @property
    def metrics(self) -> list[dict[str, float | None]]:
        """A row for each epoch, by the names of PREFIX_metrics.csv; None where a cell is empty."""
        with self._metrics.open(newline="", encoding="utf-8") as file:
            return [
                {name: float(cell) if cell else None for name, cell in row.items()}
                for row in csv.DictReader(file)
            ]


def train(options: Mapping[str, Value]) -> Run:
    """Train as model-train does with these options, see ``denet.train``."""
    values = read_options(train_command.parser(), options)
    for name in ("skip_train", "dry_run"):
        if getattr(values, name):
            raise UsageError(f"{name}: it leaves no run: use model-train, or leave it out")
    with _logging(values):
        settings = train_command.fit(values)
    assert settings is not None, "only a dry run has none"
    return Run(RunFiles(settings.output_prefix, settings.model_suffix), settings.epochs)


def read_options(parser: Parser, options: Mapping[str, Value]) -> Namespace:
    """Return the values of a command's options given by name, ``learn_rate`` for --learn-rate.

    None is as good as leaving it out. Raises UsageError as the command does.
    """
    known = {option.key: option for option in parser.options}
    words = []
    for name, value in options.items():
        if name != "config" and name not in known:
            hint = nearest_hint(name, list(known)) or f": see {parser.prog} --help"
            raise UsageError(f"unknown option {name!r}{hint}")
        option = known.get(name)
        if value is None:
            continue
        typed = f"--{name.replace('_', '-')}"
        if option and isinstance(option.kind, Flag):
            words.append(typed if _checked(name, value) else f"--no-{option.name}")
        elif option and option.count is not None:
            several = isinstance(value, Sequence) and not isinstance(value, str)
            words += [typed, *map(_word, value if several else [value])]  # type: ignore
        else:
            words.append(f"{typed}={_word(value)}")
    return parser.parse(words)


def _checked(name: str, value: Value) -> bool:
    try:
        return Flag().check(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _word(value: object) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _name(picture: Picture, place: int) -> str:
    """Return what messages call a picture."""
    if isinstance(picture, str | os.PathLike):
        return os.fspath(picture)
    return getattr(picture, "filename", "") or f"picture {place + 1}"


@contextmanager
def _logging(values: Namespace) -> Iterator[None]:
    """Log as a command does; close the files of the log and leave it as it was."""
    log = logging.getLogger("denet")
    level, handlers = log.level, log.handlers[:]
    log.handlers = []
    start_log(values)
    try:
        yield
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers = handlers
        log.setLevel(level)
