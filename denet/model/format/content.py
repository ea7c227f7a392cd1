"""What every format does with what it read: layers, a model, tensors against the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from denet.errors import DataError, UsageError
from denet.files import is_device
from denet.layer.base import Layer
from denet.layer.registry import layer_from_fields
from denet.model.format.record import SHOWN_LENGTH, Record
from denet.model.model import Model, Shape
from denet.model.preprocessing import Preprocessing

MAX_CLASSES = 1_000_000
MAX_LENGTH = 65536  # of an axis of the input
SHOWN_FAULTS = 3  # of many tensors that do not fit
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
    if not all(1 <= length <= MAX_LENGTH for length in input_shape):
        raise DataError(f"damaged model file: {source}: input shape {list(input_shape)}")
    check_labels(class_labels, source)
    try:
        own = Preprocessing(preprocessing.numbers("mean"), preprocessing.numbers("std"))
        own.check(channels)
    except UsageError as error:
        raise DataError(f"damaged model file: {source}: {told(error)}") from error
    shape: Shape = (channels, height, width)
    return Model(layers, shape, class_labels, own, summary=summary)


def preprocessing_json(model: Model) -> dict[str, list[float]]:
    """Return the preprocessing of a model as JSON."""
    own = model.preprocessing
    return {"mean": list(own.mean), "std": list(own.std)}


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
        tensors = model.tensors()
    except UsageError as error:
        raise DataError(f"damaged model file: {source}: {told(error)}") from error
    expected = {
        prefix + name: tensor.shape
        for prefix, own in zip(model.prefixes(), tensors, strict=True)
        for name, tensor in own.items()
    }
    faults = [f"tensor {name!r} is missing" for name in expected if name not in shapes]
    faults += [
        f"tensor {name!r} has shape {list(shapes[name])!s:.80}, the network needs {list(shape)}"
        for name, shape in expected.items()
        if name in shapes and tuple(shapes[name]) != shape
    ]
    faults += [f"tensor {name!r:.80} belongs to no layer" for name in shapes.keys() - expected]
    if faults:
        more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
        raise DataError(f"damaged model file: {source}: {'; '.join(faults[:SHOWN_FAULTS])}{more}")
    model.parameters = [
        {name: fetch(prefix + name) for name in own}
        for prefix, own in zip(model.prefixes(), tensors, strict=True)
    ]
    for name, array in model.values().items():
        if not np.isfinite(array).all():
            raise DataError(f"damaged model file: {source}: {name!r} holds nan or inf")
