"""A model written as a file of ccv's ConvNet (2014), which predicts what the model predicts.

D is left out: it scales in training, so that the weights are those of prediction already, as ccv
stores them. A deviation of pixels other than 1 / 255 is multiplied into the first weights. What
ccv cannot compute is refused: it knows convolutions with odd windows, a step that divides the map
and a ReLU behind, local response normalisation, pools, and then full connections to the end.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from denet.errors import DataError
from denet.files import atomic_write
from denet.layer.activation import ActivationLayer
from denet.layer.base import Layer
from denet.layer.border import Border
from denet.layer.border_mode import padding
from denet.layer.class_convolution import ClassConvolution
from denet.layer.convolution import Convolution
from denet.layer.dropout import DropoutLayer
from denet.layer.full import FullyConnected
from denet.layer.local_response import LocalResponseNormalisation
from denet.layer.pool import Pooling
from denet.layer.regression import Regression
from denet.layer.split import Split
from denet.model.format.ccv import (
    AVERAGE_POOL,
    CONVOLUTION,
    FLOAT,
    FULL,
    HALF,
    LOCAL_RESPONSE,
    MAX_POOL,
    PIXEL,
    TABLES,
)
from denet.model.format.content import check_writable, told
from denet.model.model import Model, named

log = logging.getLogger(__name__)

MOST_LOST = 0.01  # of the weights of a layer, as norms; 16 bits round by 0.0005 at most
FILTERS_STEP = 4  # ccv computes so many filters of a group together

Row = dict[str, Any]


@dataclass
class Step:
    """A layer that computes: its number, arrays and map (h, w, c), and what stands around it."""

    number: int
    layer: Any
    arrays: Mapping[str, np.ndarray]
    shape: tuple[int, int, int]
    border: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, right, top, bottom
    relu: bool = False


class _Unfit(Exception):
    """What ccv cannot hold."""


def write(model: Model, path: str | os.PathLike[str], half: bool = False) -> None:
    """Save a model atomically, its weights as float32 or, ``half``, as 16-bit floats.

    Raises DataError for a network that ccv cannot hold, naming layer and reason.
    """
    source = os.fspath(path)
    check_writable(model, source)
    tables = _tables(model, HALF if half else FLOAT, source)
    with atomic_write(path) as temporary:
        _save(tables, temporary, source)


def lost_in_ccv(model: Model) -> list[str]:
    """Return what the file of a model does not hold, a clause each."""
    own = named(model.class_labels)
    return ["holds no names of classes, only their order"] if own else []


def _tables(model: Model, dtype: np.dtype[Any], source: str) -> dict[str, list[Row]]:
    """Return the rows of all tables."""
    factors = PIXEL / np.array(model.preprocessing.std or (1.0,) * model.input_shape[0])
    layers: list[Row] = []
    data: list[Row] = []
    for step in _steps(model, source):
        try:
            row = _row(step, layers)
            if not layers:
                step.arrays = _scaled(step, factors)
            if step.arrays:
                blobs = _blobs(step.arrays, dtype)
                data.append({"layer": len(layers), **blobs})
                _warn_of_small(model, step, blobs, dtype, source)
        except _Unfit as error:
            _refuse(model, step.number, str(error), source)
        layers.append({"layer": len(layers), **row})
    whole = isinstance(model.layers[-1], Regression) and layers[-1].get("output_relu") == 0
    if not whole or not any(row["type"] == CONVOLUTION for row in layers):
        _refuse(model, len(model.layers), "ccv needs a C, and R at the end", source)
    _part(layers)
    return {"layer_params": layers, "layer_data": data, "convnet_params": [_image(model)]}


def _refuse(model: Model, number: int, reason: str, source: str) -> NoReturn:
    raise DataError(
        f'cannot write: {source}: layer {number} "{model.token(number)}": {reason}; '
        "end the name in .mdl for a format that holds it"
    )


def _steps(model: Model, source: str) -> Iterator[Step]:
    """Yield the layers that compute, each with the border before it and the ReLU behind it."""
    waiting = deque(
        Step(number, layer, arrays, shape)
        for number, (layer, arrays, shape) in enumerate(
            zip(model.layers, model.parameters, model.input_maps(), strict=True), 1
        )
        if not _idle(layer)
    )
    while waiting:
        step = waiting.popleft()
        if isinstance(step.layer, Border) and waiting:
            before, step = step, waiting.popleft()
            step.border, step.shape = before.layer.border, before.shape
        if waiting and step.layer.type_name in ("conv", "full"):
            behind = waiting[0].layer
            step.relu = isinstance(behind, ActivationLayer) and behind.activation == "relu"
            if step.relu:
                waiting.popleft()
        if isinstance(step.layer, Regression):
            if step.shape[:2] != (1, 1):
                _refuse(model, step.number, "R has several positions; ccv knows one", source)
        else:
            yield step


def _idle(layer: Layer) -> bool:
    """Say whether prediction passes over a layer."""
    if isinstance(layer, ActivationLayer):
        return layer.activation == "none"
    return isinstance(layer, DropoutLayer | Split)


def _row(step: Step, before: list[Row]) -> Row:
    """Return the row of layer_params of a layer behind these rows, but for its partitions."""
    layer, behind_full = step.layer, bool(before) and before[-1]["type"] == FULL
    if type(layer) not in MAKERS:
        raise _Unfit("ccv has no such layer")
    if behind_full and not isinstance(layer, FullyConnected | ClassConvolution):
        raise _Unfit("ccv knows only F and R behind an F")
    if any(step.border) and not isinstance(layer, Convolution):
        raise _Unfit("ccv has no B but that of a C")
    height, width, channels = step.shape
    sides = (channels, 1, 1) if behind_full else step.shape
    row = dict(
        zip((f"input_matrix_{name}" for name in ("rows", "cols", "channels")), sides, strict=True)
    )
    return row | {"input_node_count": 0, **MAKERS[type(layer)](step)}


def _convolution(step: Step) -> Row:
    layer = step.layer
    edges = [padding(layer.border_mode, size) for size in layer.size]
    left, right, top, bottom = step.border
    own = (*edges[1], *edges[0])
    borders = {a + b for a, b in zip((left, right, top, bottom), own, strict=True)}
    border = max(borders)
    if len(borders) > 1:
        raise _Unfit("ccv has the same border on all sides")
    if not all(size % 2 for size in layer.size):
        raise _Unfit("ccv knows windows of odd sides only")
    if not step.relu:
        raise _Unfit("ccv has a ReLU behind each C: put A behind it")
    if layer.filters % (FILTERS_STEP * layer.groups):
        raise _Unfit(f"ccv takes a multiple of {FILTERS_STEP} filters, in each group")
    return {
        "type": CONVOLUTION,
        "output_rows": layer.size[0],
        "output_cols": layer.size[1],
        "output_channels": step.shape[2],
        "output_count": layer.filters,
        "output_border": border,
        "output_strides": _stride(step.shape, border, layer.size, layer.stride),
        "input_matrix_partition": layer.groups,
    }


def _stride(
    shape: tuple[int, ...], border: int, size: tuple[int, int], stride: tuple[int, int]
) -> int:
    """Return the one stride of a window; _Unfit where there are two or windows do not fit in."""
    if stride[0] != stride[1]:
        raise _Unfit("ccv has the same stride in both directions")
    for length, side in zip(shape, size, strict=False):
        if (length + 2 * border - side) % stride[0]:
            raise _Unfit(
                f"ccv needs windows that end with the map: {length} + 2 * {border} - {side} is no "
                f"multiple of {stride[0]}"
            )
    return stride[0]


def _pool(step: Step) -> Row:
    layer = step.layer
    size = layer.size or step.shape[:2]
    if size[0] != size[1]:
        raise _Unfit("ccv pools square windows only")
    if layer.partial:
        raise _Unfit("ccv has no partial windows")
    if layer.mean and layer.padding:
        raise _Unfit("ccv does not count the zeros around the map in a mean")
    return {
        "type": AVERAGE_POOL if layer.mean else MAX_POOL,
        "output_size": size[0],
        "output_border": layer.padding,
        "output_strides": _stride(step.shape, layer.padding, size, layer.stride or size),
    }


def _local_response(step: Step) -> Row:
    layer = step.layer
    factors = {
        f"output_{name}": getattr(layer, name) for name in ("size", "kappa", "alpha", "beta")
    }
    return {"type": LOCAL_RESPONSE, **factors, "input_matrix_partition": layer.groups}


def _full(step: Step) -> Row:
    outputs, *window = step.arrays["weight"].shape
    if tuple(window[1:]) != step.shape[:2]:
        raise _Unfit("ccv needs a window of the whole map: write R without a size")
    return {
        "type": FULL,
        "input_node_count": int(np.prod(step.shape)),
        "output_count": outputs,
        "output_relu": int(step.relu),
    }


MAKERS: dict[type[Layer], Callable[[Step], Row]] = {
    Convolution: _convolution,
    Pooling: _pool,
    LocalResponseNormalisation: _local_response,
    FullyConnected: _full,
    ClassConvolution: _full,
}


def _part(layers: list[Row]) -> None:
    """Set the partitions: a convolution shows its output in those that the next layer takes."""
    view = 1
    for row in reversed(layers):
        groups = row.setdefault("input_matrix_partition", 1 if row["type"] == FULL else view)
        if row["type"] == CONVOLUTION:
            fits = view % groups == 0 and row["output_count"] % view == 0
            row["output_partition"] = view if fits else groups
        view = groups


def _scaled(step: Step, factors: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return the arrays of the first layer, each channel of its weights times its factor."""
    if not step.arrays and (factors != 1).any():
        raise _Unfit("ccv divides no pixels by a deviation, and weights could do it in C or F only")
    if not step.arrays:
        return step.arrays
    weight = step.arrays["weight"]
    groups = getattr(step.layer, "groups", 1)
    by_group = np.repeat(factors.reshape(groups, -1), len(weight) // groups, axis=0)
    return {**step.arrays, "weight": weight * by_group[:, :, None, None]}


def _image(model: Model) -> Row:
    """Return the row of convnet_params: what is taken away from pixels from 0 to 255."""
    channels, height, width = model.input_shape
    own = model.preprocessing
    image = np.zeros((height, width, channels)) if own.mean_image is None else own.mean_image
    mean = (image + np.array(own.mean or 0.0)) / PIXEL
    return {
        "convnet": 0,
        "input_height": mean.shape[0],
        "input_width": mean.shape[1],
        "mean_activity": mean.astype(FLOAT).tobytes(),
    }


def _blobs(arrays: Mapping[str, np.ndarray], dtype: np.dtype[Any]) -> Row:
    """Return weight and bias of a row of layer_data; _Unfit for numbers beyond ``dtype``."""
    weight = arrays["weight"]
    bias = arrays.get("bias", np.zeros(len(weight), np.float32))
    with np.errstate(over="ignore"):
        stored = {"weight": weight.transpose(0, 2, 3, 1).astype(dtype), "bias": bias.astype(dtype)}
    if not all(np.isfinite(values).all() for values in stored.values()):
        raise _Unfit(f"numbers beyond {np.finfo(dtype).max:g}, the largest of {dtype.name}")
    blobs: Row = {name: values.tobytes() for name, values in stored.items()}
    return blobs | {"half_precision": int(dtype == HALF)}


def _warn_of_small(model: Model, step: Step, blobs: Row, dtype: np.dtype[Any], source: str) -> None:
    """Log where a layer has so small weights that ``dtype`` loses them."""
    weight = step.arrays["weight"].transpose(0, 2, 3, 1).ravel()
    rest = weight - np.frombuffer(blobs["weight"], dtype).astype(weight.dtype)
    lost, scale = (np.linalg.norm(each.astype(np.float64)) for each in (rest, weight))
    if lost > MOST_LOST * scale:
        log.warning(
            '%s: layer %d "%s": %.0f%% of its weights are lost, too small for %s: leave out --half',
            *(source, step.number, model.token(step.number), 100 * lost / scale, dtype.name),
        )


def _save(tables: dict[str, list[Row]], temporary: Path, source: str) -> None:
    import sqlite3

    try:
        with closing(sqlite3.connect(temporary)) as connection, connection:
            for table, columns in TABLES.items():
                declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                connection.execute(f"CREATE TABLE {table} ({declared})")
                for row in tables[table]:
                    places = ", ".join("?" * len(row))
                    connection.execute(
                        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", [*row.values()]
                    )
    except (sqlite3.Error, OverflowError) as error:  # of blobs beyond 1 GB
        raise DataError(f"cannot write: {source}: {told(error)}") from error
