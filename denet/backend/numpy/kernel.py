"""The reference of an op as a kernel: computes in float32, copies into the plan's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from denet.bfloat16 import from_float32, to_float32
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call, Kernel, Layout
from denet.graph.op.base import Run


class ReferenceKernel(Kernel):
    """Runs ``op.forward`` and ``op.backward`` of one node. In bf16 it converts on both sides.

    Parameters that another kernel has laid out (``layouts``) are unpacked and packed per call.
    """

    name = "numpy"

    def __init__(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        wanted: tuple[int, ...],
        layouts: Mapping[Tensor, Layout],
    ):
        given = [layouts.get(tensor) for tensor in node.inputs]
        self._layouts = [None if type(layout) is Layout else layout for layout in given]
        self._op = node.op
        self._run = run
        self._wanted = wanted
        self._input_types = [tensor.type for tensor in node.inputs]
        self._output_types = [tensor.type for tensor in node.outputs]
        self._half = precision == "bf16"
        self.saved = node.op.saved(*self._input_types) if training and wanted else ()
        self.backward_inputs = node.op.backward_inputs
        self.backward_outputs = node.op.backward_outputs
        # results are complete before they are copied, so equal shapes may share memory
        first = self._output_types[0]
        self.forward_in_place = tuple(
            (0, index) for index, type_ in enumerate(self._input_types) if type_ == first
        )
        self.backward_in_place = tuple((out, into) for into, out in self.forward_in_place)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        def call() -> None:
            results, kept = self._op.forward(self._run, *self._read_inputs(inputs))
            if saved:
                self._write(saved, kept, self.saved)
            self._write(outputs, results, self._output_types)

        return call

    def backward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        output_gradients: list[Any],
        input_gradients: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        def call() -> None:
            gradients = self._op.backward(
                self._run,
                self._read_inputs(inputs),
                self._read(outputs, self._output_types),
                self._read(saved, self.saved),
                self._read(output_gradients, self._output_types),
            )
            self._write_gradients(input_gradients, gradients)

        return call

    def _read_inputs(self, arrays: list[Any]) -> tuple[Any, ...]:
        plain = [
            layout.unpack(array) if layout and array is not None else array
            for array, layout in zip(arrays, self._layouts, strict=True)
        ]
        return self._read(plain, self._input_types)

    def _write_gradients(self, places: list[Any], gradients: Any) -> None:
        places = list(places)
        for index, layout in enumerate(self._layouts):
            if layout and places[index] is not None:
                layout.pack(np.ascontiguousarray(gradients[index]), places[index])
                places[index] = None
        self._write(places, gradients, self._input_types)

    def _read(self, arrays: list[Any], types: Any) -> tuple[Any, ...]:
        if not self._half:
            return tuple(arrays)
        return tuple(
            to_float32(array) if array is not None and type_.dtype == "real" else array
            for array, type_ in zip(arrays, types, strict=True)
        )

    def _write(self, places: list[Any], results: Any, types: Any) -> None:
        for place, result, type_ in zip(places, results, types, strict=True):
            if place is not None:
                half = self._half and type_.dtype == "real"
                np.copyto(place, from_float32(result) if half else result, casting="same_kind")
