"""The .mdl.gz format of the 2017 program: gzipped JSON with arrays in base64.

What it has no place for (preprocessing, training summary, some fields, variances to the last
bit) stands under the further key ``denet``, which the 2017 program ignores: a model written here
is read back as it was.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from denet.errors import DataError
from denet.files import atomic_write
from denet.layer.base import Layer
from denet.layer.convolution import Convolution
from denet.layer.deconvolution import Deconvolution
from denet.layer.denet_sparse import DenetSparse
from denet.layer.residual import Residual
from denet.memory import room
from denet.model.format.content import (
    MAX_CLASSES,
    MEAN_IMAGE,
    check_writable,
    fill,
    layer_json,
    make_layer,
    make_model,
    preprocessing_json,
)
from denet.model.format.json_text import parse_object
from denet.model.format.mdl_gz_detect import DETECT_READERS, DETECT_WRITERS
from denet.model.format.mdl_gz_layers import (
    READERS,
    WRITERS,
    Arrays,
    Json,
    MapShape,
    is_class_convolution,
    is_frozen,
    read_class_convolution,
)
from denet.model.format.mdl_gz_residual import read_residual, write_residual
from denet.model.format.npy import encode_array
from denet.model.format.record import Record
from denet.model.model import Model, nameless
from denet.model.preprocessing import Preprocessing

log = logging.getLogger(__name__)

VERSION = 3
DATE = "1970-01-01 00:00:00"  # 2017 wrote that of today; equal models are to give equal files
MAX_TEXT_BYTES = 1 << 30  # the largest network of 2017 takes half of it
_TEXT_COPIES = 2  # of the text in memory while JSON is made of it
SHOWN_LAYERS = 9  # of many that are unknown
_CHUNK_BYTES = 1 << 20
_MODE_CHANNELS = {"RGB": 3, "L": 1}
_READERS = READERS | DETECT_READERS | {"resnet": read_residual}
_WRITERS = WRITERS | DETECT_WRITERS | {"resnet": write_residual}


@dataclass
class Entry:
    """A layer as read: its fields, with "type", and its arrays by local name."""

    where: str
    fields: Json
    arrays: Arrays
    frozen: bool = False


def read(path: str | os.PathLike[str]) -> Model:
    """Return the model in a file of 2017 or of ``write``."""
    source = os.fspath(path)
    top = Record(parse_object(_inflate(source), source), source)
    version = top.integer("version", 0)
    if not 1 <= version <= VERSION:
        raise DataError(f"cannot read model: {source}: version {version} (known: 1 to {VERSION})")
    if top.integer("imageBorder", 0) != 0:
        raise DataError(f"cannot read model: {source}: imageBorder must be 0")
    own = top.record("denet")
    entries = _read_layers(top.layers(), own.layers())
    model = make_model(
        [make_layer(entry.fields, entry.where) for entry in entries],
        _input_shape(top),
        _class_labels(top),
        own.record("preprocessing"),
        own.record("summary").values,
        source,
    )
    arrays = {
        prefix + name: array
        for prefix, entry in zip(model.prefixes(), entries, strict=True)
        for name, array in entry.arrays.items()
    }
    fill(model, {name: array.shape for name, array in arrays.items()}, arrays.pop, source)
    _check_positions(top.layers()[-1], model.input_maps()[-1])
    if frozen := [str(number) for number, entry in enumerate(entries, 1) if entry.frozen]:
        log.warning(
            "%s: some layers were not trained in 2017 (enabled: false); training leaves them as "
            "they are with --skip-layer-updates %.400s",
            *(source, ",".join(frozen)),
        )
    return model


def _check_positions(last: Record, shape: MapShape) -> None:
    """Raise DataError unless the regression takes the whole map or its centre."""
    height, width, _ = shape
    positions = last.get("valid", [])
    if positions not in ([], [[0, height // 2, width // 2]]):
        raise last.fault("'valid' lists other positions than the centre, which this DeNet cannot")


def _inflate(source: str) -> bytearray:
    """Return the text of a gzip file, as long as it stays below MAX_TEXT_BYTES.

    What comes out can be a thousand times the file. Raises DataError, OutOfMemoryError.
    """
    text = bytearray()
    try:
        with gzip.open(source) as file:
            while chunk := file.read(_CHUNK_BYTES):
                needed = _TEXT_COPIES * (len(text) + len(chunk))
                with room(needed, f"the text of {source}", "use a machine with more memory"):
                    text += chunk
                if len(text) > MAX_TEXT_BYTES:
                    raise DataError(
                        f"damaged model file: {source}: more than {MAX_TEXT_BYTES} bytes of text"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"damaged model file: {source}: {error}; take another copy") from error
    return text


def _input_shape(top: Record) -> tuple[int, ...]:
    """Return (channels, height, width)."""
    if "dataShape" in top:
        return top.integers("dataShape", 3)
    width, height = top.integers("imageSize", 2)
    mode = top.text("imageMode")
    if mode not in _MODE_CHANNELS:
        raise top.fault(f"imageMode {mode!r:.20} (known: {', '.join(_MODE_CHANNELS)})")
    return _MODE_CHANNELS[mode], height, width


def _class_labels(top: Record) -> list[str]:
    """Return the labels by class id; classes without one are called by their id.

    ``model-modify --class-num`` of 2017 left the labels of the network before, and training named
    the classes: labels that are too many are none of this network.
    """
    numbers = top.record("classLabels")
    count = top.integer("classNum", len(numbers.values))
    if not 1 <= count <= MAX_CLASSES:
        raise top.fault(f"classNum {count} is not from 1 to {MAX_CLASSES}")
    labels: dict[int, str] = {}
    for label in numbers.values:
        number = numbers.integer(label)
        if number in labels or number < 0:
            raise numbers.fault(f"{label!r:.40} has the class id {number} (classNum {count})")
        labels[number] = label
    if max(labels, default=0) >= count:
        log.warning(
            "%s: its class labels (%d) are those of another network (classNum %d): they are left "
            "out; model-train takes those of its training set",
            *(top.where, len(labels), count),
        )
        labels = {}
    return [labels.get(number, name) for number, name in enumerate(nameless(count))]


def _read_layers(records: list[Record], own: list[Record]) -> list[Entry]:
    """Return the layers of the network; ``own`` holds for each what 2017 has no place for."""
    unknown = [record for record in records if record.text("type") not in _READERS]
    if unknown:
        names = ", ".join(f"{each.text('type')!r:.40}" for each in unknown[:SHOWN_LAYERS])
        raise DataError(
            f"cannot read model: {unknown[0].where}: this DeNet does not know the layers {names}"
        )
    entries = [_read_layer(records, number) for number in range(len(records))]
    if own and len(own) != len(entries):
        raise own[0].fault(f"{len(own)} layers beside {len(entries)} of 2017")
    for entry, more in zip(entries, own, strict=False):
        fields, arrays = more.record("fields").values, more.record("arrays")
        entry.fields = fields if "type" in fields else entry.fields | fields
        entry.arrays |= {name: arrays.array(name) for name in arrays.values}
    return [entry for entry in entries if entry.fields["type"] != "identity"]


def _read_layer(records: list[Record], number: int) -> Entry:
    """Return the layer at this place, counted from 0."""
    record = records[number]
    type_name = record.text("type")
    reader = _READERS[type_name]
    if is_class_convolution(records[number : number + 2]):
        type_name, reader = "class-conv", read_class_convolution
    fields, arrays = reader(record)
    return Entry(record.where, {"type": type_name, **fields}, arrays, is_frozen(record))


def write(model: Model, path: str | os.PathLike[str]) -> None:
    """Save a model atomically."""
    check_writable(model, os.fspath(path))
    unknown = [layer.symbol for layer in model.layers if layer.type_name not in _WRITERS]
    if unknown:
        raise DataError(
            f"cannot write: {os.fspath(path)}: the format of 2017 has no {unknown[0]}: use .mdl"
        )
    layers = [
        _WRITERS[layer.type_name](layer, arrays, shape)
        for layer, arrays, shape in zip(
            model.layers, model.parameters, model.input_maps(), strict=True
        )
    ]
    records = Record({"layers": layers}, os.fspath(path)).layers()
    top = {
        "classifierType": "CNN",
        "classLabels": {label: number for number, label in enumerate(model.class_labels)},
        "classNum": len(model.class_labels),
        "dataShape": list(model.input_shape),
        "date": DATE,
        "user": "",
        "version": VERSION,
        "layers": layers,
        "denet": {
            "preprocessing": preprocessing_json(model) | _mean_image(model.preprocessing),
            "summary": model.summary,
            "layers": [
                _beyond_2017(layer, arrays, _read_layer(records, number))
                for number, (layer, arrays) in enumerate(
                    zip(model.layers, model.parameters, strict=True)
                )
            ],
        },
    }
    with atomic_write(path) as temporary:
        _deflate(top, temporary, path)


def lost_in_2017(model: Model) -> list[str]:
    """Return what the program of 2017 does not do with the file of a model, a clause each."""
    lost = []
    if model.preprocessing != Preprocessing():
        lost.append(
            f"does not normalise pixels by {model.preprocessing.text()}; with subtract_mean it "
            "does by the constants of ImageNet"
        )
    if any(isinstance(each, Deconvolution) and each.border_mode != "half" for each in model.layers):
        lost.append("knows DC with border half only, and cannot open the file")
    if any(isinstance(each, Convolution) and each.groups > 1 for each in model.layers):
        lost.append("knows no groups of C, and cannot open the file")
    if any(isinstance(each, Residual) and each.zeros for each in model.layers):
        lost.append("knows no shortcut of zeros (RSN.Z), and cannot open the file")
    if any(isinstance(each, Residual) and each.window_stride for each in model.layers):
        lost.append("has the stride of RSN.S in the first convolution, and computes something else")
    if any(isinstance(each, DenetSparse) and each.prior_levels for each in model.layers):
        lost.append("does not know the prior boxes of DNS, and finds less without them")
    if any(isinstance(each, DenetSparse) and each.distinct_in_prediction for each in model.layers):
        lost.append("takes local_max and nms_threshold of DNS in training too")
    return lost


def _mean_image(preprocessing: Preprocessing) -> Json:
    image = preprocessing.mean_image
    return {} if image is None else {MEAN_IMAGE: encode_array(image)}


def _beyond_2017(layer: Layer, arrays: Arrays, read: Entry) -> Json:
    """Return the fields and arrays of a layer that do not come back from its JSON of 2017."""
    fields = layer_json(layer)
    if read.fields["type"] == layer.type_name:
        back = layer_json(make_layer(read.fields, read.where))
        fields = {name: value for name, value in fields.items() if value != back[name]}
    lost = {
        name: encode_array(array)
        for name, array in arrays.items()
        if name not in read.arrays or array.tobytes() != read.arrays[name].tobytes()
    }
    return {"fields": fields, "arrays": lost}


def _deflate(top: Json, temporary: Path, path: str | os.PathLike[str]) -> None:
    """Write the gzip file; the same content gives the same bytes."""
    with (
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, "utf-8") as text,
    ):
        json.dump(top, text, indent=2)
        text.flush()
        if packed.tell() > MAX_TEXT_BYTES:
            raise DataError(f"cannot write: {os.fspath(path)}: too large for .mdl.gz; use .mdl")
