"""The files of ccv's ConvNet (2014) read: SQLite tables of layers, weights and the mean image.

What becomes of its layers: a convolution is B (its border), C (its input partitions are groups)
and A, as ccv computes a ReLU behind each; a full connection is F, and A where it has a ReLU; the
last one is R. Partitions of an output are a view for the layer behind, and no matter of this one.
The weights of layers with dropout are stored multiplied by 1 - rate, which is what prediction
needs: no D is made of them. What only training needs (momenta, permutations, tuned kernels) is
left out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from denet.errors import DataError, UsageError
from denet.kind import Integer
from denet.model.desc import MAX_LAYERS
from denet.model.format.content import (
    MAX_CLASSES,
    fill,
    make_layer,
    make_model,
    take_mean_image,
    told,
)
from denet.model.format.database import Database, open_database
from denet.model.format.record import Record
from denet.model.model import MAX_LENGTH, Model, nameless

CONVOLUTION, FULL, MAX_POOL, AVERAGE_POOL, LOCAL_RESPONSE = range(1, 6)
# table: {column: type}, the key first
TABLES = {
    "layer_params": {
        "layer": "INTEGER PRIMARY KEY ASC",
        "type": "INTEGER",
        "input_matrix_rows": "INTEGER",
        "input_matrix_cols": "INTEGER",
        "input_matrix_channels": "INTEGER",
        "input_matrix_partition": "INTEGER",
        "input_node_count": "INTEGER",
        "output_rows": "INTEGER",
        "output_cols": "INTEGER",
        "output_channels": "INTEGER",
        "output_partition": "INTEGER",
        "output_count": "INTEGER",
        "output_strides": "INTEGER",
        "output_border": "INTEGER",
        "output_size": "INTEGER",
        "output_kappa": "REAL",
        "output_alpha": "REAL",
        "output_beta": "REAL",
        "output_relu": "INTEGER",
    },
    "layer_data": {
        "layer": "INTEGER PRIMARY KEY ASC",
        "weight": "BLOB",
        "bias": "BLOB",
        "half_precision": "INTEGER",
    },
    "convnet_params": {
        "convnet": "INTEGER PRIMARY KEY ASC",
        "input_height": "INTEGER",
        "input_width": "INTEGER",
        "mean_activity": "BLOB",
    },
}
PIXEL = 1 / 255  # of ccv's pixels, from 0 to 255, in ours, from 0 to 1
FLOAT, HALF = np.dtype("<f4"), np.dtype("<f2")
SIDE = Integer(1, MAX_LENGTH)
RELU = {"type": "activation", "activation": "relu"}

Json = dict[str, Any]


@dataclass
class Entry:
    """A row of layer_params, and the layers that it becomes; ``first`` is the place of theirs."""

    row: Record
    kind: int
    layers: list[Json]
    first: int = 0


def read(path: str | os.PathLike[str]) -> Model:
    """Return the model in a file of ccv, whose classes have no names. Raises DataError."""
    source = os.fspath(path)
    with open_database(source) as database:
        entries = _entries(_table(database, "layer_params", MAX_LAYERS), source)
        first, last = entries[0].row, entries[-1].row
        shape = [
            first.checked(f"input_matrix_{name}", SIDE) for name in ("channels", "rows", "cols")
        ]
        model = make_model(
            [make_layer(fields, each.row.where) for each in entries for fields in each.layers],
            shape,
            nameless(last.checked("output_count", Integer(1, MAX_CLASSES))),
            Record({"std": [PIXEL] * shape[0]}, source),
            {},
            source,
        )
        _check_maps(model, entries, source)
        take_mean_image(model, _mean_image(database, shape[0]), source)
        _fill(model, entries, database, source)
    return model


def _table(database: Database, name: str, most: int) -> dict[int, Record]:
    key, *columns = TABLES[name]
    numbers = [column for column in columns if TABLES[name][column] != "BLOB"]
    blobs = [column for column in columns if TABLES[name][column] == "BLOB"]
    return database.records(name, key, numbers, blobs, most)


def _mean_image(database: Database, channels: int) -> np.ndarray:
    """Return the mean image (h, w, c) of pixels from 0 to 1; its middle is what a network sees."""
    rows = _table(database, "convnet_params", 1)
    if list(rows) != [0]:
        raise database.fault("table 'convnet_params' has no row 0")
    height, width = (rows[0].checked(f"input_{name}", SIDE) for name in ("height", "width"))
    size = FLOAT.itemsize * height * width * channels
    _check_length(rows[0], "mean_activity", size)
    content = database.blob("convnet_params", "convnet", 0, "mean_activity", size)
    return np.frombuffer(content, FLOAT).reshape(height, width, channels) * np.float32(PIXEL)


def _entries(rows: dict[int, Record], source: str) -> list[Entry]:
    """Return the layers of the file in order; DataError where one is absent or out of place."""
    if missing := set(range(max(1, len(rows)))) - rows.keys():
        raise DataError(f"damaged model file: {source}: no layer {min(missing)} in 'layer_params'")
    entries: list[Entry] = []
    for number, row in rows.items():
        kind = row.integer("type")
        if kind not in READERS:
            raise row.fault(f"type {kind} (known: {min(READERS)} to {max(READERS)})")
        if entries and entries[-1].kind == FULL != kind:
            raise row.fault("a layer of another type behind a full connection")
        last = number == len(rows) - 1
        layers = _classify(row) if last else READERS[kind](row)
        first = entries[-1].first + len(entries[-1].layers) if entries else 0
        entries.append(Entry(row, kind, layers, first))
    return entries


def _convolution(row: Record) -> list[Json]:
    border = row.integer("output_border")
    count, partition = row.integer("output_count"), row.integer("output_partition")
    if partition < 1 or count % partition:
        raise row.fault(f"'output_partition' is {partition}, which does not part {count} filters")
    window = {
        "type": "conv",
        "filters": count,
        "size": [row.integer("output_rows"), row.integer("output_cols")],
        "stride": row.integer("output_strides"),
        "groups": row.integer("input_matrix_partition"),
    }
    return [*([{"type": "border", "border": border}] if border else []), window, RELU]


def _full(row: Record) -> list[Json]:
    outputs = {"type": "full", "filters": row.integer("output_count")}
    return [outputs, RELU] if row.flag("output_relu") else [outputs]


def _classify(row: Record) -> list[Json]:
    if row.integer("type") != FULL or row.flag("output_relu"):
        raise row.fault("the last layer is not a full connection without ReLU")
    return [{"type": "class-conv", "bias": True}, {"type": "regression"}]


def _pool(row: Record) -> list[Json]:
    mean, border = row.integer("type") == AVERAGE_POOL, row.integer("output_border")
    if mean and border:
        raise row.fault("an average pool with a border, of which this DeNet would count the zeros")
    window = {"size": row.integer("output_size"), "stride": row.integer("output_strides")}
    return [{"type": "pool", **window, "padding": border, "mean": mean}]


def _local_response(row: Record) -> list[Json]:
    factors = {name: _single(row.number(f"output_{name}")) for name in ("kappa", "alpha", "beta")}
    size, groups = row.integer("output_size"), row.integer("input_matrix_partition")
    return [{"type": "local-response", "size": size, **factors, "groups": groups}]


def _single(value: float) -> float:
    """Return the shortest number that is the same in float32, as which ccv has it."""
    with np.errstate(over="ignore"):
        return float(str(np.float32(value)))


READERS: dict[int, Callable[[Record], list[Json]]] = {
    CONVOLUTION: _convolution,
    FULL: _full,
    MAX_POOL: _pool,
    AVERAGE_POOL: _pool,
    LOCAL_RESPONSE: _local_response,
}


def _check_maps(model: Model, entries: list[Entry], source: str) -> None:
    """Raise DataError unless each layer gets the map that its row tells."""
    try:
        maps = model.input_maps()
    except UsageError as error:
        raise DataError(f"damaged model file: {source}: {told(error)}") from error
    for entry in entries:
        row, (height, width, channels) = entry.row, maps[entry.first]
        sides = {"rows": height, "cols": width, "channels": channels}
        needed = {f"input_matrix_{name}": length for name, length in sides.items()}
        if entry.kind == FULL:  # behind another one, ccv has its map upright
            needed = {"input_node_count": math.prod(sides.values())}
        elif entry.kind == CONVOLUTION:
            needed["output_channels"] = channels
        for name, length in needed.items():
            if row.integer(name) != length:
                raise row.fault(f"{name!r} is {row.integer(name)}, the layers before give {length}")


def _fill(model: Model, entries: list[Entry], database: Database, source: str) -> None:
    """Give a model the weights of a file, once all of them have the size that is needed."""
    rows = _table(database, "layer_data", MAX_LAYERS)
    shapes = model.shapes()
    numbers = [number for number, entry in enumerate(entries) for _ in entry.layers]
    stored: dict[str, tuple[int, str, np.dtype[Any]]] = {}
    for path, shape in shapes.items():
        layer, _, name = path.split(".")
        number = numbers[int(layer) - 1]
        if number not in rows:
            raise database.fault(f"no layer {number} in 'layer_data'")
        dtype = HALF if rows[number].flag("half_precision") else FLOAT
        _check_length(rows[number], name, dtype.itemsize * math.prod(shape))
        stored[path] = number, name, dtype

    def fetch(path: str) -> np.ndarray:
        number, name, dtype = stored[path]
        size = dtype.itemsize * math.prod(shapes[path])
        content = database.blob("layer_data", "layer", number, name, size)
        values = np.frombuffer(content, dtype)
        if name == "weight":  # (output, y, x, channel)
            outputs, channels, height, width = shapes[path]
            values = values.reshape(outputs, height, width, channels).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values, np.float32)

    fill(model, shapes, fetch, source)


def _check_length(row: Record, name: str, needed: int) -> None:
    length = row.get(name)
    if not isinstance(length, int):
        raise row.fault(f"{name!r} is not a blob")
    if length != needed:
        raise row.fault(f"{name!r} has {length} bytes, the network needs {needed}")
