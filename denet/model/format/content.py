"""What every format does with what it read: layers, a model, tensors against the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from denet.errors import DataError, UsageError
from denet.files import is_device
from denet.layer.base import Layer
from denet.layer.registry import layer_from_fields
from denet.model.format.record import SHOWN_LENGTH, Record
from denet.model.model import MAX_LENGTH, Model, Shape, misfit
from denet.model.preprocessing import Preprocessing

MAX_CLASSES = 1_000_000
MEAN_IMAGE = "mean_image"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a terminal obeys them


def open_file(source: str) -> BinaryIO:
    """Open a file to read; DataError for a device or pipe, which may never end or never begin."""
    if is_device(source):
        raise DataError(f"cannot read model: {source}: a device or pipe, not a file")
    return open(source, "rb")


def layer_json(layer: Layer) -> dict[str, Any]:
    """Return the type and all fields of a layer as JSON."""
    return {"type": layer.type_name, **layer.fields()}


def make_layer(values: Mapping[str, Any], where: str) -> Layer:
    """Return the layer of ``layer_json``; DataError where it is not one this version knows."""
    fields = dict(values)
    type_name = f"{fields.pop('type', None)!s:.80}"
    try:
        return layer_from_fields(type_name, fields)
    except (UsageError, ValueError, TypeError) as error:
        raise DataError(f"cannot read model: {where}: {told(error)}") from error


def told(error: Exception) -> str:
    """Return what an error says as one short line, fit for a terminal."""
    return CONTROL.sub(" ", str(error)[:SHOWN_LENGTH])


def check_labels(class_labels: Sequence[str], source: str) -> None:
    """Raise DataError unless the labels differ and each can be shown in a line."""
    faulty = [label for label in class_labels if not label or CONTROL.search(label)]
    if faulty:
        fault = f"{faulty[0]!r:.80} is empty or has control characters"
    elif not 1 <= len(class_labels) <= MAX_CLASSES:
        fault = f"there are {len(class_labels)}, not 1 to {MAX_CLASSES}"
    elif len(set(class_labels)) < len(class_labels):
        fault = "one of them stands twice"
    else:
        return
    raise DataError(f"wrong class labels: {source}: {fault}; rename the classes")


def make_model(
    layers: list[Layer],
    input_shape: Sequence[int],
    class_labels: list[str],
    preprocessing: Record,
    summary: dict[str, Any],
    source: str,
) -> Model:
    """Return a model that holds no arrays yet."""
    if not layers:
        raise DataError(f"damaged model file: {source}: it holds no layers")
    channels, height, width = input_shape
    shape: Shape = (channels, height, width)
    if not all(1 <= length <= MAX_LENGTH for length in input_shape):
        raise DataError(f"damaged model file: {source}: input shape {list(input_shape)}")
    check_labels(class_labels, source)
    try:
        mean_image = preprocessing.array(MEAN_IMAGE) if MEAN_IMAGE in preprocessing else None
        own = Preprocessing(preprocessing.numbers("mean"), preprocessing.numbers("std"), mean_image)
        own.check(shape)
    except UsageError as error:
        raise DataError(f"damaged model file: {source}: {told(error)}") from error
    return Model(layers, shape, class_labels, own, summary=summary)


def preprocessing_json(model: Model) -> dict[str, list[float]]:
    """Return the preprocessing of a model as JSON, all but its mean image."""
    own = model.preprocessing
    return {"mean": list(own.mean), "std": list(own.std)}


def take_mean_image(model: Model, image: np.ndarray, source: str) -> None:
    """Give a model its mean image; DataError where it does not fit."""
    try:
        preprocessing = replace(model.preprocessing, mean_image=image)
        preprocessing.check(model.input_shape)
    except UsageError as error:
        raise DataError(f"damaged model file: {source}: {told(error)}") from error
    model.preprocessing = preprocessing


def fill(
    model: Model,
    shapes: Mapping[str, Sequence[int]],
    fetch: Callable[[str], np.ndarray],
    source: str,
) -> None:
    """Give a model its arrays, once the shapes in the file are those the network needs.

    Raises DataError naming the tensors that are missing, of a wrong shape, superfluous or not of
    finite numbers.
    """
    try:
        needed = model.shapes()
    except UsageError as error:
        raise DataError(f"damaged model file: {source}: {told(error)}") from error
    if fault := misfit(needed, shapes):
        raise DataError(f"damaged model file: {source}: {fault}")
    model.parameters = model.by_layer({name: fetch(name) for name in needed})
    if name := not_finite(model):
        raise DataError(f"damaged model file: {source}: {name!r} holds nan or inf")


def not_finite(model: Model) -> str:
    """Return the path of the first array that holds nan or inf as float32; "" if none does."""
    with np.errstate(over="ignore"):
        for path, value in model.values().items():
            if not np.isfinite(np.asarray(value, np.float32)).all():
                return path
    return ""


def check_writable(model: Model, source: str) -> None:
    """Raise DataError unless the file of a model could be read back: labels, pixels and weights."""
    check_labels(model.class_labels, source)
    try:
        model.preprocessing.check(model.input_shape)
        fault = unfit_weights(model)
    except UsageError as error:
        fault = str(error)
    if fault:
        raise DataError(f"cannot write: {source}: {fault}")


def unfit_weights(model: Model) -> str:
    """Return in one line what is wrong with the arrays of a model; "" for nothing."""
    if len(model.parameters) != len(model.layers):
        return f"{len(model.layers)} layers with the arrays of {len(model.parameters)}"
    shapes = {path: value.shape for path, value in model.values().items()}
    if fault := misfit(model.shapes(), shapes):
        return fault
    if name := not_finite(model):
        return (
            f"{name!r} holds nan or inf: the weights are damaged or diverged in training: take the "
            "model of an earlier epoch"
        )
    return ""
