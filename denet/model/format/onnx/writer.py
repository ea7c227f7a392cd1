"""An ONNX graph under construction, in expressions that read like those of NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Number = float | int
TYPES: dict[str, Any] = {"float": np.float32, "int": np.int64, "bool": np.bool_, "byte": np.uint8}


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: its name, its element type (a key of TYPES), and who wrote it."""

    writer: Writer
    name: str
    type: str

    def __add__(self, other: Value | Number) -> Value:
        return self._op("Add", other)

    def __sub__(self, other: Value | Number) -> Value:
        return self._op("Sub", other)

    def __mul__(self, other: Value | Number) -> Value:
        return self._op("Mul", other)

    def __truediv__(self, other: Value | Number) -> Value:
        return self._op("Div", other)

    def __floordiv__(self, other: Value | Number) -> Value:
        assert self.type == "int"  # and not negative: ONNX rounds towards 0
        return self._op("Div", other)

    def __mod__(self, other: Value | Number) -> Value:
        return self._op("Mod", other)

    def __gt__(self, other: Value | Number) -> Value:
        return self._op("Greater", other, "bool")

    def __ge__(self, other: Value | Number) -> Value:
        return self._op("GreaterOrEqual", other, "bool")

    def __lt__(self, other: Value | Number) -> Value:
        return self._op("Less", other, "bool")

    def __le__(self, other: Value | Number) -> Value:
        return self._op("LessOrEqual", other, "bool")

    def __and__(self, other: Value) -> Value:
        return self._op("And", other)

    def __or__(self, other: Value) -> Value:
        return self._op("Or", other)

    def equals(self, other: Value | Number) -> Value:
        """Return where both are equal."""
        return self._op("Equal", other, "bool")

    def minimum(self, other: Value | Number) -> Value:
        """Return the smaller of both, by element."""
        return self._op("Min", other)

    def maximum(self, other: Value | Number) -> Value:
        """Return the larger of both, by element."""
        return self._op("Max", other)

    def cast(self, type: str) -> Value:
        """Return the same numbers in another type."""
        to = helper.np_dtype_to_tensor_dtype(np.dtype(TYPES[type]))
        return self.writer.op("Cast", self, type=type, to=to)

    def _op(self, kind: str, other: Value | Number, type: str | None = None) -> Value:
        if not isinstance(other, Value):
            other = self.writer.constant(np.array(other, TYPES[self.type]))
        return self.writer.op(kind, self, other, type=type)


@dataclass(eq=False)
class Writer:
    """Collects nodes; ``scope`` starts the names of those that are added.

    The body of a loop has a writer of its own, which shares names and constants with the outer one.
    """

    outer: Writer | None = None
    scope: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _known: dict[tuple[bytes, str, tuple[int, ...]], Value] = field(default_factory=dict)
    _count: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        if self.outer:
            self.scope = self.outer.scope
            self.constants, self._known = self.outer.constants, self.outer._known
            self._count = self.outer._count

    def op(
        self, kind: str, *inputs: Value | None, type: str | None = None, **attributes: Any
    ) -> Value:
        """Add a node with one output; its type is that of the first input unless it is told."""
        first = next(each for each in inputs if each)
        return self.ops(kind, *inputs, types=(type or first.type,), **attributes)[0]

    def ops(
        self, kind: str, *inputs: Value | None, types: Sequence[str], **attributes: Any
    ) -> list[Value]:
        """Add a node with an output of each of these types; None stands for an input left out."""
        name = self._name(kind)
        outputs = [Value(self, f"{name}:{index}", type) for index, type in enumerate(types)]
        names = [each.name if each else "" for each in inputs]
        made = helper.make_node(kind, names, [each.name for each in outputs], name, **attributes)
        self.nodes.append(made)
        return outputs

    def _name(self, kind: str) -> str:
        self._count[0] += 1
        return f"{self.scope}/{kind}_{self._count[0]}"

    def constant(self, array: np.ndarray, name: str = "") -> Value:
        """Return a constant; equal ones without a name are one."""
        array = np.asarray(array, order="C")
        type = next(key for key, dtype in TYPES.items() if dtype == array.dtype)
        key = (b"" if name else array.tobytes(), name or type, array.shape)
        if key not in self._known:
            name = name or f"constant_{len(self._known)}"
            self.constants[name] = numpy_helper.from_array(array, name)
            self._known[key] = Value(self, name, type)
        return Value(self, self._known[key].name, type)

    def ints(self, *numbers: int) -> Value:
        """Return a constant list of whole numbers, as shapes and axes are."""
        return self.constant(np.array(numbers, np.int64))

    def name(self, value: Value, name: str) -> Value:
        """Give a value a name that users see."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name], name))
        return Value(self, name, value.type)

    def reshape(self, x: Value, *shape: int) -> Value:
        """Return x in a shape; 0 keeps the length of that axis, -1 stands for what is left."""
        return self.op("Reshape", x, self.ints(*shape))

    def transpose(self, x: Value, *axes: int) -> Value:
        """Return x with its axes in this order."""
        return self.op("Transpose", x, perm=axes)

    def unsqueeze(self, x: Value, axis: int) -> Value:
        """Return x with one more axis, of length 1."""
        return self.op("Unsqueeze", x, self.ints(axis))

    def concat(self, *parts: Value, axis: int) -> Value:
        """Return these behind one another."""
        return self.op("Concat", *parts, axis=axis)

    def stack(self, *parts: Value) -> Value:
        """Return these beside one another along a new last axis."""
        return self.concat(*(self.unsqueeze(each, -1) for each in parts), axis=-1)

    def cut(self, x: Value, axis: int, start: int, end: int | Value) -> Value:
        """Return x[start:end] along an axis; ``end`` may be a value (1,)."""
        last = end if isinstance(end, Value) else self.ints(end)
        return self.op("Slice", x, self.ints(start), last, self.ints(axis))

    def pick(self, x: Value, axis: int, index: int) -> Value:
        """Return x[index] along an axis, which disappears."""
        return self.op("Gather", x, self.constant(np.array(index)), axis=axis)

    def where(self, condition: Value, x: Value | Number, y: Value | Number) -> Value:
        """Return x where the condition holds, else y; one of both at least is a value."""
        kind = next(each.type for each in (x, y) if isinstance(each, Value))
        made = [
            each if isinstance(each, Value) else self.constant(np.array(each, TYPES[kind]))
            for each in (x, y)
        ]
        return self.op("Where", condition, *made, type=kind)

    def total(self, x: Value, axis: int) -> Value:
        """Return the sum of whole numbers, or of places where a condition holds, along an axis."""
        counted = x if x.type == "int" else x.cast("int")
        return self.op("ReduceSum", counted, self.ints(axis), keepdims=0)

    def length(self, x: Value, axis: int) -> Value:
        """Return the length (1,) of an axis."""
        return self.op("Shape", x, type="int", start=axis, end=axis + 1)

    def range(self, count: Value) -> Value:
        """Return 0, 1, ... (m,) for a count (1,)."""
        zero, one = (self.constant(np.array(each, np.int64)) for each in (0, 1))
        return self.op("Range", zero, self.op("Squeeze", count), one)

    def top(self, x: Value, count: Value, largest: bool = True) -> tuple[Value, Value]:
        """Return the ``count`` (1,) largest or smallest of the last axis, in order, and where.

        Of equal ones the first come first: with all of them it is a stable sort.
        """
        values, index = self.ops(
            "TopK", x, count, types=(x.type, "int"), axis=-1, largest=int(largest)
        )
        return values, index

    def take(self, x: Value, index: Value) -> Value:
        """Return x (..., m) at indices (..., k) of its last axis."""
        return self.op("GatherElements", x, index, axis=-1)

    @contextmanager
    def within(self, scope: str) -> Iterator[None]:
        """Let the names of what is added start with ``scope``."""
        before, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = before

    def body(
        self,
        name: str,
        inputs: Sequence[tuple[Value, int]],
        outputs: Sequence[tuple[Value, int]],
    ) -> Any:
        """Return what this writer holds as the graph of a loop; values with numbers of axes."""
        given, made = ([_info(*each) for each in values] for values in (inputs, outputs))
        return helper.make_graph(self.nodes, name, given, made)


def _info(value: Value, axes: int) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(TYPES[value.type]))
    return helper.make_tensor_value_info(value.name, kind, [None] * axes)
