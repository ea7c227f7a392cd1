"""The .mdl format: one safetensors file, tensors by layer path, everything else as metadata.

The mean image of pixels, where there is one, is the tensor preprocessing.mean_image. The metadata
are one JSON document under the key ``denet``: safetensors writes several keys in random order, and
the same model must give the same bytes. Its ``checksum`` tells damage that leaves every number
readable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from denet.errors import DataError
from denet.files import atomic_write
from denet.model.format.content import (
    MEAN_IMAGE,
    check_writable,
    fill,
    layer_json,
    make_layer,
    make_model,
    open_file,
    preprocessing_json,
    take_mean_image,
)
from denet.model.format.json_text import parse_object
from denet.model.format.record import Record
from denet.model.format.tensor_file import METADATA, read_header, tensor_shape
from denet.model.model import Model

FORMAT_VERSION = 1
ATTACHED = "attached/"  # what the names of attached tensors start with
MEAN_IMAGE_PATH = f"preprocessing.{MEAN_IMAGE}"  # tensor (h, w, c), where the model has one


class Attachment(NamedTuple):
    """What a file may hold beside the model: tensors, and a record of JSON values."""

    tensors: Mapping[str, np.ndarray]
    record: dict[str, Any]


NOTHING = Attachment({}, {})


def write(model: Model, path: str | os.PathLike[str], attachment: Attachment = NOTHING) -> None:
    """Save a model atomically; DataError if the disk does not hold what was written."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    check_writable(model, os.fspath(path))
    # safetensors 0.8 writes wrong elements for arrays that are not in C order
    attached = {ATTACHED + name: value for name, value in attachment.tensors.items()}
    image = model.preprocessing.mean_image
    beside = attached if image is None else {MEAN_IMAGE_PATH: image, **attached}
    values = {
        name: np.ascontiguousarray(value, np.float32)
        for name, value in {**model.values(), **beside}.items()
    }
    metadata = _metadata(model) | ({"attached": attachment.record} if attachment.record else {})
    metadata["checksum"] = _checksum(metadata, values)
    with atomic_write(path) as temporary:
        try:
            save_file(values, temporary, {"denet": json.dumps(metadata)})
        except SafetensorError as error:
            raise DataError(f"cannot write: {os.fspath(path)}: {error}") from error
        _verify(values, temporary, path)


def _metadata(model: Model) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "desc": model.text(),
        "layers": [layer_json(layer) for layer in model.layers],
        "input_shape": list(model.input_shape),
        "class_labels": model.class_labels,
        "preprocessing": preprocessing_json(model),
        "summary": model.summary,
    }


def _checksum(metadata: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> int:
    """Return the CRC-32 of all that a file holds: the other metadata, then the tensors by name."""
    text = json.dumps({name: value for name, value in metadata.items() if name != "checksum"})
    checksum = crc32(text.encode())
    for name in sorted(tensors):
        checksum = crc32(tensors[name].data, checksum)
    return checksum


def _verify(values: dict[str, np.ndarray], written: Path, path: str | os.PathLike[str]) -> None:
    """Compare the written tensors bit by bit, and make sure that the header will be read."""
    from safetensors import safe_open

    try:
        with written.open("rb") as stream:
            read_header(stream, os.fspath(written))
    except DataError as error:
        raise DataError(f"cannot write: {os.fspath(path)}: {error}") from error
    with safe_open(written, framework="np") as file:
        for name, value in values.items():
            if file.get_tensor(name).tobytes() != value.tobytes():
                raise DataError(f"cannot write: {os.fspath(path)}: {name!r} reads back differently")


def read(path: str | os.PathLike[str]) -> Model:
    """Return the model in a file; no tensor is read before all shapes fit the network."""
    return read_attached(path)[0]


def read_attached(path: str | os.PathLike[str]) -> tuple[Model, Attachment]:
    """Return the model in a file, and what the file holds beside it.

    NumPy reads the tensors, not the library that writes them: it maps the file into memory, and
    takes the whole process down where that is not to be had or the file is cut meanwhile.
    """
    source = os.fspath(path)
    with open_file(source) as file:
        header = read_header(file, source)
        begin = file.tell()
        metadata = header.record(METADATA).text("denet")
        record = Record(parse_object(metadata.encode("utf-8", "surrogatepass"), source), source)
        model = _read_model(record)
        tensors = {name: header.record(name) for name in header.values if name != METADATA}
        shapes = {name: tensor_shape(tensor, {"F32": 4}) for name, tensor in tensors.items()}

        def fetch(name: str) -> np.ndarray:
            start, end = tensors[name].integers("data_offsets", 2)
            file.seek(begin + start)
            elements = np.fromfile(file, "<f4", (end - start) // 4)
            return elements.astype(np.float32, copy=False).reshape(shapes[name])

        own = {
            name: shape
            for name, shape in shapes.items()
            if not name.startswith(ATTACHED) and name != MEAN_IMAGE_PATH
        }
        try:
            fill(model, own, fetch, source)
            beside = {name: fetch(name) for name in shapes if name not in own}
            if MEAN_IMAGE_PATH in beside:
                take_mean_image(model, beside[MEAN_IMAGE_PATH], source)
        except ValueError as error:  # fewer elements than a moment ago
            raise DataError(f"damaged model file: {source}: {error}") from error
    _check_content(record, {**model.values(), **beside})
    attached = {
        name.removeprefix(ATTACHED): value
        for name, value in beside.items()
        if name.startswith(ATTACHED)
    }
    return model, Attachment(attached, record.record("attached").values)


def _check_content(metadata: Record, tensors: Mapping[str, np.ndarray]) -> None:
    """Raise DataError unless the checksum is that of the content; earlier versions wrote none."""
    if "checksum" in metadata and metadata.integer("checksum") != _checksum(
        metadata.values, tensors
    ):
        raise metadata.fault(
            "its content is not what was saved; take another copy, or if it was changed on purpose "
            "remove 'checksum' from its metadata"
        )


def _read_model(metadata: Record) -> Model:
    """Return the model without its arrays."""
    version = metadata.integer("format_version")
    if version != FORMAT_VERSION:
        raise DataError(
            f"cannot read model: {metadata.where}: format version {version}; this DeNet reads "
            f"version {FORMAT_VERSION}, install a newer one"
        )
    return make_model(
        [make_layer(layer.values, layer.where) for layer in metadata.layers()],
        metadata.integers("input_shape", 3),
        metadata.texts("class_labels"),
        metadata.record("preprocessing"),
        metadata.record("summary").values,
        metadata.where,
    )
