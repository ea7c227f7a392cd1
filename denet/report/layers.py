"""The layers of a model as a table: output shape, parameters, arithmetic, memory."""

from __future__ import annotations

import json
from dataclasses import dataclass

from denet.graph.graph import Node
from denet.layer.base import Layer
from denet.layer.denet_corner import DenetCorner
from denet.layer.denet_detect import DenetDetect
from denet.layer.denet_sparse import DenetSparse
from denet.model.desc import layer_tokens
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing
from denet.printable import counted

BYTES = {"real": 4, "float32": 4, "int32": 4, "uint8": 1}
MEGABYTE = 1 << 20
DITTO = '"'


@dataclass(frozen=True)
class LayerRow:
    """One layer at work on a batch."""

    number: int
    type_name: str
    text: str  # the token that it comes from, or DITTO behind the first layer of it
    shape: tuple[int, ...]  # of its output, (channels, height, width)
    output: str  # the same for people
    parameters: int
    flops: int  # of one forward pass of one image
    activation_bytes: int  # of all op outputs for the batch, in float32


def layer_rows(model: Model, batch_size: int) -> list[LayerRow]:
    """Return one row for each layer, in order."""
    graph = model.graph(batch_size)
    channels, height, width = model.input_shape
    shape: tuple[int, ...] = (batch_size, height, width, channels)
    nodes_of: list[list[Node]] = [[] for _ in model.layers]
    for node in graph.nodes:
        nodes_of[_number(node.name) - 1].append(node)
    parameters = [0] * len(model.layers)
    for path, tensor in graph.parameters.items():
        parameters[_number(path) - 1] += tensor.type.size
    tokens = [
        word
        for text, count in layer_tokens(model.layers)
        for word in [text, *[DITTO] * (count - 1)]
    ]
    rows = []
    for number, (layer, nodes) in enumerate(zip(model.layers, nodes_of, strict=True), 1):
        maps = [node.outputs[0].shape for node in nodes if len(node.outputs[0].shape) == 4]
        shape = maps[-1] if maps else shape
        rows.append(
            LayerRow(
                number,
                layer.type_name,
                tokens[number - 1],
                (shape[3], shape[1], shape[2]),
                _output(layer, shape, len(model.class_labels)),
                parameters[number - 1],
                sum(_flops(node) for node in nodes) // batch_size,
                sum(
                    tensor.type.size * BYTES[tensor.type.dtype]
                    for node in nodes
                    for tensor in node.outputs
                ),
            )
        )
    return rows


def dimensions(model: Model) -> str:
    """Return as JSON the shapes (c, h, w) of input, output and what each layer makes."""
    shapes = [row.shape for row in layer_rows(model, batch_size=1)]
    dims = [{"shape": shape} for shape in shapes]
    return json.dumps({"input": model.input_shape, "output": shapes[-1], "dims": dims}) + "\n"


def layers_report(model: Model, batch_size: int) -> str:
    """Return the table of all layers and its sums as text."""
    rows = layer_rows(model, batch_size)
    total = LayerRow(
        0,
        "total",
        "",
        (),
        "",
        sum(row.parameters for row in rows),
        sum(row.flops for row in rows),
        sum(row.activation_bytes for row in rows),
    )
    table = [("layer", "type", "text", "output", "parameters", "MFLOP", "MB"), *map(_cells, rows)]
    table.append(("", *_cells(total)[1:]))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(_align(cells, widths)).rstrip() for cells in table]
    channels, height, width = model.input_shape
    return "\n".join(
        [
            f"input {width}x{height}, {channels} channels; "
            f"{counted(len(model.class_labels), 'class')}; "
            f"MFLOP per image forward; MB of outputs in f32 for a batch of {batch_size}",
            *_pixels(model.preprocessing),
            *lines,
        ]
    )


def _pixels(preprocessing: Preprocessing) -> list[str]:
    """Return the line that tells how pixels are normalised, if they are."""
    normalised = preprocessing != Preprocessing()
    return [f"pixels from 0 to 1 normalised by {preprocessing.text()}"] if normalised else []


def _number(path: str) -> int:
    """Return the number of the layer that a node or parameter belongs to."""
    return int(path.split(".")[0])


def _output(layer: Layer, shape: tuple[int, ...], class_num: int) -> str:
    """Return what a layer with an output map (n, h, w, c) gives."""
    _, height, width, channels = shape
    text, boxes = f"{channels}x{height}x{width}", f"{height * width} boxes"
    match layer:
        case DenetCorner():
            return f"{text}, {5 if layer.use_center else 4} corners"
        case DenetSparse():
            return f"{text}, {boxes}"
        case DenetDetect():
            fitness = ", fitness" * (layer.joint_fitness or layer.fitness_factor > 0)
            return f"{boxes} x {counted(class_num, 'class')}{fitness}"
    return text


def _flops(node: Node) -> int:
    return node.op.flops(
        tuple(tensor.type for tensor in node.inputs), tuple(tensor.type for tensor in node.outputs)
    )


def _cells(row: LayerRow) -> tuple[str, ...]:
    return (
        str(row.number),
        row.type_name,
        row.text,
        row.output,
        f"{row.parameters:,}",
        f"{row.flops / 1e6:,.2f}",
        f"{row.activation_bytes / MEGABYTE:,.2f}",
    )


def _align(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    """Pad the words on the right and the numbers on the left."""
    return [
        f"{cell:<{width}}" if index in (1, 2, 3) else f"{cell:>{width}}"
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
