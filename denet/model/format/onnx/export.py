"""A model as an ONNX graph: pixels in, class probabilities or boxes out.

Opset 18 is the first whose ScatterElements takes a least value, which joins boxes to clusters; ONNX
Runtime knows it since 1.14. All operators are of the standard (domain ai.onnx).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

import denet
from denet.errors import DataError, UsageError
from denet.graph.fuse import for_prediction
from denet.graph.graph import Graph, Tensor
from denet.graph.op.add import Add
from denet.graph.op.concat import Concat
from denet.graph.op.conv import Conv
from denet.graph.op.pool import Pool
from denet.layer.denet_detect import DenetDetect
from denet.model.format.onnx.detect_ops import ANSWERS, Choice, answers
from denet.model.format.onnx.registry import EMITTERS
from denet.model.format.onnx.writer import TYPES, Value, Writer
from denet.model.model import Model

OPSET, IR_VERSION = 18, 8
MOST_BYTES = 2_000_000_000  # of a protocol buffer, which an ONNX file is
ROUNDED = (Add, Concat, Conv, Pool)  # ops that 8 bits are for
Shape = list[str | int]  # a name stands for any length
PIXEL_TYPES = {"float32": "float", "uint8": "byte"}


@dataclass(frozen=True)
class Form:
    """What an ONNX file takes and gives.

    ``pixels``: float32 from 0 to 1, or uint8 from 0 to 255. ``layout``: nchw or nhwc, of images
    and of class_map. Without ``fold`` batch normalisation stays a node of its own. ``choice`` says
    which answers of a detector are given.
    """

    pixels: str = "float32"
    layout: str = "nchw"
    fold: bool = True
    choice: Choice = field(default_factory=Choice)


@dataclass(frozen=True)
class Exported:
    """An ONNX graph, what it was made of, and how tensors and exact nodes are called there."""

    proto: onnx.ModelProto
    model: Model
    form: Form
    graph: Graph
    names: dict[Tensor, str]  # of tensors of the graph, maps as (n, c, h, w)
    exact: list[str]  # nodes that stay float32 in 8 bits, as what makes answers does in bfloat16


def export(model: Model, form: Form, source: str) -> Exported:
    """Return the ONNX graph of a model, checked by ONNX's own rules.

    Raises UsageError for one without an answer, and DataError for one whose weights are more than
    such a file holds; ``source`` names it.
    """
    if 4 * model.parameter_count() > MOST_BYTES:
        raise DataError(
            f"cannot write: {source}: an ONNX file holds at most 2 GB, the model has "
            f"{model.parameter_count():,} weights: use fewer filters, or pool the map before F or R"
        )
    graph = model.graph(1)
    if not graph.outputs:
        raise UsageError(
            "model: it gives neither class probabilities nor boxes: end its network with R or DND"
        )
    graph = for_prediction(graph, "f32", form.fold)
    w = Writer()
    exact: list[str] = []
    values = _pixels(w, model, form, graph)
    exact += [node.name for node in w.nodes]
    values |= _weights(w, graph, model.values())
    for node in graph.nodes:
        start = len(w.nodes)
        with w.within(node.name):
            made = EMITTERS[type(node.op)](w, node, *(values[each] for each in node.inputs))
        # running statistics, which batch norm hands on, nobody reads
        values |= zip(node.outputs, made if isinstance(made, tuple) else [made], strict=False)
        if node.outputs[0].type.dtype == "float32" or not isinstance(node.op, ROUNDED):
            exact += [each.name for each in w.nodes[start:]]
    start = len(w.nodes)
    outputs = _outputs(w, model, form, graph, values)
    exact += [node.name for node in w.nodes[start:]]
    proto = _model(w, model, form, outputs)
    onnx.checker.check_model(proto, full_check=True)
    names = {tensor: value.name for tensor, value in values.items()}
    return Exported(proto, model, form, graph, names, exact)


def image_shape(model: Model, form: Form) -> tuple[int, int, int]:
    """Return the shape of one image as the file takes it."""
    c, h, w = model.input_shape
    return (c, h, w) if form.layout == "nchw" else (h, w, c)


def overlap_threshold(model: Model) -> float:
    """Return the IoU above which a sample of a detector shows an object."""
    layer = next(each for each in model.layers if isinstance(each, DenetDetect))
    return layer.overlap_threshold[0]


def _pixels(w: Writer, model: Model, form: Form, graph: Graph) -> dict[Tensor, Value]:
    """Return the normalised images: pixels * scale + shift, as ``Normalise`` of the loader."""
    own = model.preprocessing
    c, height, width = model.input_shape
    std = np.array(own.std or (1.0,) * c)[:, None, None]
    scale = 1 / (std * (255 if form.pixels == "uint8" else 1))
    shift = -np.array(own.mean or (0.0,) * c)[:, None, None] / std
    if own.mean_image is not None:
        spare_y, spare_x = own.mean_image.shape[0] - height, own.mean_image.shape[1] - width
        y, x = -(-spare_y // 2), -(-spare_x // 2)
        window = own.mean_image[y : y + height, x : x + width]
        shift = shift - window.transpose(2, 0, 1) / std
    with w.within("pixels"):
        pixels = Value(w, "images", PIXEL_TYPES[form.pixels])
        if form.layout == "nhwc":
            pixels = w.transpose(pixels, 0, 3, 1, 2)
        if form.pixels == "uint8":
            pixels = pixels.cast("float")
        if (scale != 1).any():
            pixels = pixels * w.constant(scale[None].astype(np.float32))
        if shift.any():
            pixels = pixels + w.constant(shift[None].astype(np.float32))
    return {graph.inputs["data"]: pixels}


def _weights(w: Writer, graph: Graph, arrays: Mapping[str, np.ndarray]) -> dict[Tensor, Value]:
    """Return the parameters and states that the nodes read, folded ones computed."""
    read = {tensor for node in graph.nodes for tensor in node.inputs}
    return {
        tensor: w.constant(
            np.asarray(tensor.derive(arrays) if tensor.derive else arrays[tensor.name], np.float32),
            f"{tensor.name} folded" if tensor.derive else tensor.name,
        )
        for tensor in read
        if tensor.kind in ("parameter", "state")
    }


def _outputs(
    w: Writer, model: Model, form: Form, graph: Graph, values: Mapping[Tensor, Value]
) -> list[onnx.ValueInfoProto]:
    """Name what is given: answers of a detector, or class probabilities and maybe their map."""
    own = {name: values[tensor] for name, tensor in graph.outputs.items()}
    if "detection_probability" in own:
        shape = graph.outputs["detection_probability"].shape
        with w.within("answers"):
            overlap = overlap_threshold(model)
            found = answers(w, own, len(model.class_labels), shape, overlap, form.choice)
        shapes: list[Shape] = [["d", 4], ["d"], ["d"], ["d"]]
        return [
            _info(w.name(value, name), lengths)
            for name, value, lengths in zip(ANSWERS, found, shapes, strict=True)
        ]
    probability = w.name(own["class_probability"], "probabilities")
    infos = [_info(probability, ["n", len(model.class_labels)])]
    if "class_map" in own:
        _, h, width, k = graph.outputs["class_map"].shape
        value, lengths = own["class_map"], (k, h, width)
        if form.layout == "nhwc":
            value, lengths = w.transpose(value, 0, 2, 3, 1), (h, width, k)
        infos.append(_info(w.name(value, "class_map"), ["n", *lengths]))
    return infos


def _info(value: Value, shape: Shape) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(TYPES[value.type]))
    return helper.make_tensor_value_info(value.name, kind, shape)


def _model(
    w: Writer, model: Model, form: Form, outputs: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """Return the file: nodes, weights, and what it says of itself."""
    images = Value(w, "images", PIXEL_TYPES[form.pixels])
    inputs = [_info(images, ["n", *image_shape(model, form)])]
    graph = helper.make_graph(w.nodes, "denet", inputs, outputs, list(w.constants.values()))
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="denet",
        producer_version=denet.__version__,
    )
    told = {
        "class_labels": json.dumps(model.class_labels),
        "input_shape": json.dumps(image_shape(model, form)),
        "layout": form.layout,
        "pixels": f"{form.pixels} from 0 to {255 if form.pixels == 'uint8' else 1}, RGB",
        "network": model.text(),
    }
    helper.set_model_props(proto, told)
    return proto
