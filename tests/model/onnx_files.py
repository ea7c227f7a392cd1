"""Models of which every array counts, and ONNX graphs of one op, for the tests of .onnx files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from denet.graph.graph import Graph, Tensor, TensorType
from denet.graph.op.base import Op
from denet.layer.options import LayerOptions
from denet.model.format.onnx.export import IR_VERSION, OPSET, Exported, Form, export
from denet.model.format.onnx.library import Session
from denet.model.format.onnx.registry import EMITTERS
from denet.model.format.onnx.writer import TYPES, Value, Writer
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

KINDS = {"real": "float", "float32": "float", "int32": "int"}


def drawn(
    text: str,
    shape: tuple[int, int, int],
    class_num: int = 10,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    **options: Any,
) -> Model:
    """Return a model whose arrays are all drawn, those that training starts at 0 or 1 too."""
    labels = [f"name {index}" for index in range(class_num)]
    options = {"border_mode": "half", **options}
    model = Model.create(text, shape, labels, LayerOptions(**options), seed, preprocessing)
    rng = np.random.default_rng(seed)
    for arrays in model.parameters:
        for path, array in arrays.items():
            name = path.split(".")[-1]
            if name in ("gamma", "variance"):
                array[:] = rng.uniform(0.5, 1.5, array.shape)
            elif name != "weight":
                array[:] = rng.normal(0, 0.1, array.shape)
            elif not array.any():
                array[:] = rng.normal(0, array[0].size ** -0.5, array.shape)
    return model


def written(model: Model, path: Path, form: Form | None = None) -> Exported:
    """Write a model as an ONNX file, without any comparison."""
    exported = export(model, form or Form(), str(path))
    path.write_bytes(exported.proto.SerializeToString())
    return exported


def is_map(op: Op, index: int, type_: TensorType) -> bool:
    """Say whether an input of an op is a map, and not weights."""
    weights = type(op).__name__ in ("Conv", "Deconv") and index == 1
    return len(type_.shape) == 4 and not weights


def one_op(op: Op, types: Sequence[TensorType], path: Path) -> Session:
    """Return an op alone, made ready by ONNX Runtime: inputs x0, x1, ..., outputs y0, ..."""
    graph = Graph(1, 3)
    inputs = [Tensor(type_, f"x{index}", "input") for index, type_ in enumerate(types)]
    graph.apply(op, *inputs)
    node = graph.nodes[0]
    w = Writer(scope="op")
    given = [Value(w, f"x{index}", KINDS[type_.dtype]) for index, type_ in enumerate(types)]
    made = EMITTERS[type(op)](w, node, *given)
    made = made if isinstance(made, tuple) else (made,)
    outputs = [w.name(each, f"y{index}") for index, each in enumerate(made)]
    infos = [
        helper.make_tensor_value_info(value.name, element(value), lengths)
        for values, all_lengths in (
            (given, [lengths_of(op, index, type_) for index, type_ in enumerate(types)]),
            (outputs, [[None] * len(tensor.shape) for tensor in node.outputs]),
        )
        for value, lengths in zip(values, all_lengths, strict=False)
    ]
    whole = helper.make_graph(
        *(w.nodes, "op", infos[: len(given)], infos[len(given) :], list(w.constants.values()))
    )
    proto = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())
    return Session(path)


def element(value: Value) -> int:
    """Return ONNX's number of the element type."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(TYPES[value.type])))


def lengths_of(op: Op, index: int, type_: TensorType) -> list[Any]:
    """Return the shape of an input as ONNX has it, any batch size."""
    n, *rest = type_.shape
    if not is_map(op, index, type_):
        return [n, *rest] if len(rest) != 2 else ["n", *rest]
    h, w, c = rest
    return ["n", c, h, w]


def theirs(op: Op, index: int, type_: TensorType, array: np.ndarray) -> np.ndarray:
    """Return an input as ONNX has it."""
    array = array.transpose(0, 3, 1, 2) if is_map(op, index, type_) else array
    return np.ascontiguousarray(array, TYPES[KINDS[type_.dtype]])
