"""The .mdl format: one safetensors file, tensors by layer path, everything else as metadata.

The metadata are one JSON document under the key ``denet``: safetensors writes several keys in
random order, and the same model must give the same bytes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from denet.errors import DataError
from denet.model.format.atomic import atomic_write
from denet.model.format.content import fill, layer_json, make_layer, make_model, preprocessing_json
from denet.model.format.json_text import parse_object
from denet.model.format.record import Record
from denet.model.model import Model

FORMAT_VERSION = 1
MAX_HEADER_BYTES = 16 << 20  # a tensor takes some hundred bytes


def write(model: Model, path: str | os.PathLike[str]) -> None:
    """Save a model atomically; DataError if the disk does not hold what was written."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # safetensors 0.8 writes wrong elements for arrays that are not in C order
    values = {
        name: np.ascontiguousarray(value, np.float32) for name, value in model.values().items()
    }
    with atomic_write(path) as temporary:
        try:
            save_file(values, temporary, {"denet": json.dumps(_metadata(model))})
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


def _verify(values: dict[str, np.ndarray], written: Path, path: str | os.PathLike[str]) -> None:
    """Compare the written tensors bit by bit."""
    from safetensors import safe_open

    with safe_open(written, framework="np") as file:
        for name, value in values.items():
            if file.get_tensor(name).tobytes() != value.tobytes():
                raise DataError(f"cannot write: {os.fspath(path)}: {name!r} reads back differently")


def read(path: str | os.PathLike[str]) -> Model:
    """Return the model in a file; no tensor is read before all shapes fit the network."""
    from safetensors import SafetensorError, safe_open

    source = os.fspath(path)
    header = _read_header(source)
    metadata = header.record("__metadata__")
    model = _read_model(Record(parse_object(metadata.text("denet").encode(), source), source))
    tensors = {name: header.record(name) for name in header.values if name != "__metadata__"}
    for tensor in tensors.values():
        if tensor.text("dtype") != "F32":
            raise tensor.fault(f"elements are {tensor.text('dtype')!r:.20}, not F32")
    try:
        with safe_open(source, framework="np") as file:
            shapes = {name: tensor.get("shape") for name, tensor in tensors.items()}
            fill(model, shapes, file.get_tensor, source)
    except (SafetensorError, OSError) as error:
        raise DataError(f"damaged model file: {source}: {error}") from error
    return model


def _read_header(source: str) -> Record:
    """Return the header of a safetensors file: 8 bytes of length, then JSON."""
    size = os.path.getsize(source)
    with open(source, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise DataError(f"damaged model file: {source}: {length} bytes of header are too many")
        _check_size(size, 8 + length, source)
        header = Record(parse_object(file.read(length), source), source)
    for name in header.values:
        if name != "__metadata__":
            _, end = header.record(name).integers("data_offsets", 2)
            _check_size(size, 8 + length + end, source)
    return header


def _check_size(size: int, needed: int, source: str) -> None:
    if size < needed:
        raise DataError(
            f"damaged model file: {source}: cut short, {size} bytes of at least {needed}; "
            "take another copy"
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
