"""Weights that other programs trained: files of torch.save and safetensors made a model.

Such files hold arrays by name. The network is recognised from names and shapes, or said; pixels,
classes and image size are for the caller to know. Nothing in a file is run.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from denet.bfloat16 import to_float32
from denet.errors import DataError, UsageError
from denet.layer.options import LayerOptions
from denet.model.desc import build_layers, parse_desc
from denet.model.format.content import MAX_CLASSES, not_finite, open_file, told
from denet.model.format.tensor_file import METADATA, read_header, tensor_shape
from denet.model.format.weights.networks import (
    NUMBERS,
    Known,
    UnknownNetworkError,
    in_order,
    names_of,
    recognise,
)
from denet.model.format.weights.pickled import Tensor
from denet.model.format.weights.torch_file import (
    Place,
    element_type,
    read_old,
    read_tensor,
    read_zip,
)
from denet.model.model import Model, nameless
from denet.model.preprocessing import Preprocessing
from denet.printable import counted, printable

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pth", ".pth.tar", ".pt", ".th", ".bin")
KNOWN = "known are ResNet, VGG, AlexNet and DenseNet of torchvision and timm, ResNet for CIFAR"
# where checkpoints keep the weights, the first one wins
STATES = ("state_dict", "model_state_dict", "model_state", "model", "net", "state_dict_ema")
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")  # that all names may begin with
COUNTERS = "num_batches_tracked"  # which no computation needs
OLD_PART = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.)")  # of torchvision until 2018
ELEMENTS = {
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F64": "<f8",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
SIZES = {name: np.dtype(code).itemsize for name, code in ELEMENTS.items()}
MAX_NAME = 300  # characters
SHOWN_ARRAYS = 200  # of those that do not fit


class Stored(NamedTuple):
    """An array of a file: its shape, and what reads it as float32."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def read(
    path: str | os.PathLike[str],
    text: str | None = None,
    options: LayerOptions | None = None,
    size: Sequence[int] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Model:
    """Return the model of the weights in a file, whose classes have no names.

    ``text`` says the network, with ``options`` for its layers, where it is not recognised;
    ``size`` (width, height) the images, else those that it was made for. Raises DataError.
    """
    source = os.fspath(path)
    with stored_arrays(source) as arrays:
        shapes = {name: array.shape for name, array in arrays.items()}
        known = recognised(shapes, text, source)
        head = next(iter(known.modules["class-conv"]), "")
        count = shapes.get(f"{head}.weight", (0,))[0]
        if not 1 <= count <= MAX_CLASSES:
            raise fault(source, f"no {f'{head}.weight'!r:.80} with a row for each class")
        model = network(known, text, options, size or (known.side,) * 2, count, source)
        names, needed = names_of(model, known), model.shapes()
        check_fit(names, needed, shapes, source)
        try:
            values = {way: arrays[name].read().reshape(needed[way]) for way, name in names.items()}
        except ValueError as error:  # fewer elements than a moment ago
            raise fault(source, f"{error}; take another copy") from error
    model.parameters = model.by_layer(values)
    if way := not_finite(model):
        raise fault(source, f"{names[way]!r} holds nan or inf")
    model.preprocessing = preprocessing or Preprocessing()
    model.preprocessing.check(model.input_shape)
    log.info("%s: %s, %s read", source, known.name, counted(len(names), "array"))
    return model


def fault(source: str, what: str) -> DataError:
    """Return the error that says ``what`` is wrong with a file."""
    return DataError(f"cannot read weights: {source}: {what}")


def recognised(shapes: Mapping[str, tuple[int, ...]], text: str | None, source: str) -> Known:
    """Return the network of these arrays, or what finds those of the network that was said."""
    try:
        if known := recognise(shapes):
            return known
        why = f"an unknown network, with arrays like {next(iter(shapes), '')!r:.80}"
    except UnknownNetworkError as error:
        why = str(error)
    if text is None:
        raise fault(source, f"{why}: {KNOWN}; a sequence of layers can be said by --model-desc")
    log.info("%s: its arrays are taken in the order of the file", source)
    return in_order(shapes)


def network(
    known: Known,
    text: str | None,
    options: LayerOptions | None,
    size: Sequence[int],
    class_num: int,
    source: str,
) -> Model:
    """Return the network without its arrays. Raises DataError, for one that was said UsageError."""
    width, height = size
    try:
        layers = build_layers(
            parse_desc(known.text if text is None else text),
            known.options if text is None else options,
        )
        model = Model(layers, (3, height, width), nameless(class_num))
        model.check_trainable()
    except UsageError as error:
        if text is not None:
            raise
        raise fault(source, f"{known.name}: {told(error)}") from error
    return model


def check_fit(
    names: Mapping[str, str],
    needed: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    source: str,
) -> None:
    """Raise DataError unless each array of the network is there, and no other; list those."""
    faults = []
    for path, name in names.items():
        if name not in shapes:
            faults.append(f"missing: {name or path} {list(needed[path])}")
        elif not fits(shapes[name], needed[path]):
            faults.append(
                f"another shape: {name} {list(shapes[name])}, the network needs "
                f"{list(needed[path])} ({path})"
            )
    left = shapes.keys() - set(names.values())
    faults += [f"left over: {name} {list(shapes[name])}" for name in shapes if name in left]
    for line in faults[:SHOWN_ARRAYS]:
        log.warning("%s: %s", source, printable(line))
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise fault(
            source,
            f"{len(faults)} of {len(names) + len(left)} arrays do not fit the "
            f"network: {faults[0]}{more}: say it with --model-desc, or another --image-size",
        )


def fits(given: tuple[int, ...], needed: tuple[int, ...]) -> bool:
    """Say whether an array can be that of a layer; full connections have no axes of a map there."""
    full = len(given) == 2 and given[0] == needed[0] and math.prod(given) == math.prod(needed)
    return given == needed or full


@contextmanager
def stored_arrays(source: str) -> Iterator[dict[str, Stored]]:
    """Open a file and yield its arrays by name; DataError where it holds none, or is damaged."""
    with open_file(source) as file:
        start = file.read(9)
        file.seek(0)
        if start[4:] == bytes(4) + b"{":  # a length of the header, which may begin like the others
            arrays = safetensors_arrays(file, source)
        elif start.startswith(b"PK\x03\x04"):
            arrays = pickled_arrays(*read_zip(file, source), file, source)
        elif start.startswith(b"\x80"):
            arrays = pickled_arrays(*read_old(file, source), file, source)
        else:
            raise fault(source, "neither a file of torch.save nor safetensors; take another copy")
        yield renamed(arrays, source)


def pickled_arrays(value: Any, place: Place, file: BinaryIO, source: str) -> dict[str, Stored]:
    """Return the arrays of what a file of torch.save holds: a checkpoint may hold more."""
    if type(value) is dict:
        value = next((value[key] for key in STATES if type(value.get(key)) is dict), value)
    items = value.items() if type(value) is dict else ()
    tensors = {name: each for name, each in items if type(each) is Tensor and type(name) is str}
    told_bytes = sum(
        math.prod(each.shape) * element_type(each.storage).itemsize for each in tensors.values()
    )
    if told_bytes > os.path.getsize(source):
        raise fault(source, "its tensors share bytes: together they are larger than the file")
    return {
        name: Stored(each.shape, partial(read_tensor, file, place, each))
        for name, each in tensors.items()
    }


def safetensors_arrays(file: BinaryIO, source: str) -> dict[str, Stored]:
    """Return the arrays of a safetensors file, in the natural order of their names."""
    header = read_header(file, source)
    begin = file.tell()

    def stored(name: str) -> Stored:
        tensor = header.record(name)
        shape, dtype = tensor_shape(tensor, SIZES), tensor.text("dtype")
        start, _ = tensor.integers("data_offsets", 2)

        def read_values() -> np.ndarray:
            file.seek(begin + start)
            values = np.fromfile(file, ELEMENTS[dtype], math.prod(shape))
            with np.errstate(over="ignore"):  # of numbers beyond float32
                floats = to_float32(values) if dtype == "BF16" else values.astype(np.float32)
            return floats.reshape(shape)

        return Stored(shape, read_values)

    def natural(name: str) -> list[str]:
        return [word.zfill(len(str(len(header.values)))) for word in NUMBERS.split(name)]

    return {name: stored(name) for name in sorted(header.values.keys() - {METADATA}, key=natural)}


def renamed(arrays: Mapping[str, Stored], source: str) -> dict[str, Stored]:
    """Return arrays without what wraps all names, and without the counters of steps."""
    if not arrays:
        raise fault(source, "it holds no arrays by name, as model.state_dict() has them")
    if long := next((name for name in arrays if len(name) > MAX_NAME), ""):
        raise fault(source, f"an array with a name of {len(long)} characters: {long!r:.80}...")
    names = list(arrays)
    while start := next((each for each in WRAPPERS if all_start(names, each)), ""):
        names = [name.removeprefix(start) for name in names]
    return {
        OLD_PART.sub(r"\1\2", name): array
        for name, array in zip(names, arrays.values(), strict=True)
        if not name.endswith(COUNTERS)
    }


def all_start(names: Sequence[str], start: str) -> bool:
    """Say whether all names begin so."""
    return all(name.startswith(start) for name in names)
