"""Answers to pictures at hand, a few at a time: for programs, where a command has a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np

from denet.dataset.base import MAX_IMAGE_PIXELS
from denet.dataset.image.boxes import View
from denet.dataset.image.decode import reason
from denet.dataset.image.options import Size
from denet.dataset.loader import Batch, Normalise
from denet.errors import DataError, UsageError
from denet.evaluate.classifier import Classifier
from denet.evaluate.detect_params import DetectParams
from denet.evaluate.detector import Detector, detects, in_pixels
from denet.evaluate.predictor import check_numbers
from denet.evaluate.topk import TOP, top_classes
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.predict.classify import Answer
from denet.predict.detect import Found
from denet.predict.image_files import check_channels, contained
from denet.predict.loose import Files, Held, Loose

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# a file, the bytes of one, an image of Pillow, or an array (h, w, 3) or (h, w) of uint8
Picture: TypeAlias = "str | os.PathLike[str] | bytes | PillowImage | np.ndarray"


class TooManyPixels(DataError):
    """A picture that is too large to be decoded."""


class Sample(NamedTuple):
    """A picture as a network sees it."""

    name: str
    pixels: np.ndarray  # (h, w, c) uint8
    view: View  # where it lies in them
    size: Size  # of the upright picture


class Answerer(Protocol):
    """A model made ready for batches of up to ``batch_size`` pictures."""

    batch_size: int

    def sample(
        self, picture: Picture, name: str, max_image_pixels: int = MAX_IMAGE_PIXELS
    ) -> Sample:
        """Return a picture as the network sees it; any thread may ask.

        Raises UsageError for what is no picture, DataError for one that cannot be read.
        """

    def answers(self, samples: Sequence[Sample]) -> Sequence[Answer | Found]:
        """Return what the model says of each; one thread may ask at a time. Raises DataError."""


class ClassAnswerer:
    """Tells the ``top`` likeliest classes of pictures, each scaled to cover the network input."""

    def __init__(
        self, model: Model, batch_size: int, backend: Backend, precision: str, top: int = TOP
    ):
        check_channels(model.input_shape)
        self._classifier = Classifier(model, batch_size, backend, precision)
        self._normalise = Normalise(model.input_shape, model.preprocessing)
        self._labels, self._shape = model.class_labels, model.input_shape
        self.batch_size, self.top = batch_size, top

    def sample(
        self, picture: Picture, name: str, max_image_pixels: int = MAX_IMAGE_PIXELS
    ) -> Sample:
        channels, height, width = self._shape
        image = _decoded(picture, name, max_image_pixels, (width, height))
        image = image.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(image).reshape(height, width, channels)
        return Sample(name, pixels, View(1, 1, 0, 0), (width, height))

    def answers(self, samples: Sequence[Sample]) -> list[Answer]:
        found = self._classifier.probabilities(self._normalise(_stacked(samples)))
        check_numbers(found, [sample.name for sample in samples])
        best = top_classes(found, self.top)
        return [
            Answer(
                sample.name,
                [(self._labels[each], float(row[each])) for each in ids],
                class_ids=tuple(map(int, ids)),
            )
            for sample, row, ids in zip(samples, found, best, strict=True)
        ]


class ObjectAnswerer:
    """Tells the objects in pictures, each seen as a whole in the middle of the network input."""

    def __init__(
        self,
        model: Model,
        batch_size: int,
        backend: Backend,
        precision: str,
        params: DetectParams | None = None,
    ):
        check_channels(model.input_shape)
        self._detector = Detector(model, batch_size, backend, precision, params)
        self._normalise = Normalise(model.input_shape, model.preprocessing)
        self.batch_size = batch_size

    def sample(
        self, picture: Picture, name: str, max_image_pixels: int = MAX_IMAGE_PIXELS
    ) -> Sample:
        image = _decoded(picture, name, max_image_pixels)
        return Sample(name, *contained(image, self._detector.model.input_shape), image.size)

    def answers(self, samples: Sequence[Sample]) -> list[Found]:
        number, names = len(samples), [sample.name for sample in samples]
        keys = np.zeros(number, np.uint64)  # nothing is random in prediction
        data = self._normalise(_stacked(samples))
        batch = Batch(data, {}, keys, np.arange(number), number, number)
        [(_, found)] = self._detector.batches([batch], names)
        view = np.array([sample.view for sample in samples], np.float32)
        sizes = np.array([sample.size for sample in samples])
        found = in_pixels(found, view, self._detector.input_size, sizes)
        objects = found.by_image(number)
        return [
            Found(sample.name, each, index, sample.size)
            for index, (sample, each) in enumerate(zip(samples, objects, strict=True))
        ]


def answerer(
    model: Model,
    batch_size: int,
    backend: Backend,
    precision: str,
    top: int = TOP,
    params: DetectParams | None = None,
) -> ClassAnswerer | ObjectAnswerer:
    """Return what answers for a model, by what its network says: ``top`` classes, or objects.

    Raises UsageError for one that tells neither classes nor objects, and for channels that no
    picture has; OutOfMemoryError.
    """
    if detects(model):
        return ObjectAnswerer(model, batch_size, backend, precision, params)
    return ClassAnswerer(model, batch_size, backend, precision, top)


def _stacked(samples: Sequence[Sample]) -> np.ndarray:
    return np.stack([sample.pixels for sample in samples])


def _decoded(
    picture: Picture, name: str, max_image_pixels: int, crop: Size | None = None
) -> PillowImage:
    """Return a picture upright, in mode L or RGB; with ``crop`` brought to that size.

    Raises UsageError for what is no picture, DataError for one that cannot be read.
    """
    from PIL import Image

    loose = _loose(picture, name, max_image_pixels)
    try:
        return loose.covering(0, crop) if crop else loose.image(0)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        bomb = isinstance(error, Image.DecompressionBombError)  # an image within it
        kind = TooManyPixels if bomb or getattr(error, "kind", "") == "pixels" else DataError
        raise kind(f"cannot read the image: {name}: {reason(error)}") from None


def _loose(picture: Picture, name: str, max_image_pixels: int) -> Loose:
    from PIL import Image

    if isinstance(picture, str | os.PathLike):
        return Files([os.fspath(picture)], max_image_pixels)
    if not isinstance(picture, bytes | np.ndarray | Image.Image):
        raise UsageError(
            f"{name}: {type(picture).__name__}: give a path, an image of Pillow or an array"
        )
    if isinstance(picture, np.ndarray):
        check_array(picture, name)
    return Held([picture], [name], max_image_pixels)


def check_array(array: np.ndarray, name: str) -> None:
    """Raise UsageError for an array that is no picture."""
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not is_picture or not array.size:
        raise UsageError(
            f"{name}: an array {array.shape} of {array.dtype}: give (h, w, 3) or (h, w) of uint8, "
            "0 to 255"
        )
