"""Run one row of the case table through a backend's kernel, in memory laid out as a plan does."""

from __future__ import annotations

from typing import Any

import numpy as np
from graph.cases import Case

from denet.bfloat16 import from_float32, to_float32
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Backend, Layout
from denet.graph.memory import ELEMENT_TYPES
from denet.graph.tensor_type import TensorType


class KernelRun:
    """A kernel with its arrays. Parameters are the inputs of type float32 but the first.

    ``in_place`` lets the first output and the first input gradient share memory wherever the
    kernel offers it. Memory starts as NaN, so that what is not written shows.
    """

    def __init__(
        self,
        backend: Backend,
        case: Case,
        precision: str,
        in_place: bool = False,
        layouts: dict[int, Layout] | None = None,
        wanted: tuple[int, ...] | None = None,
    ):
        self.backend, self.case, self.precision, self.in_place = backend, case, precision, in_place
        outputs = [Tensor(type_, "y") for type_ in case.op.infer(*case.types)]
        inputs = [
            Tensor(type_, f"x{index}", "parameter" if self._is_parameter(index) else "value")
            for index, type_ in enumerate(case.types)
        ]
        self.node = Node(case.op, inputs, outputs, case.name)
        if wanted is None:
            indices = case.op.gradient_inputs if case.training else ()
            wanted = tuple(index for index in indices if index < len(inputs))
        self.wanted = wanted
        fixed = {inputs[index]: layout for index, layout in (layouts or {}).items()}
        run = case.run()
        run.sample_keys = self._memory(run.sample_keys)
        self.kernel = backend.kernel(self.node, case.training, precision, run, fixed, self.wanted)

    def layout(self, index: int) -> Layout:
        """Return the layout of a parameter input."""
        return self.kernel.layouts().get(index) or Layout(self.case.types[index].shape)

    def forward(self) -> list[np.ndarray]:
        """Run forward; return the outputs in float32."""
        kernel = self.kernel
        self.inputs = [self._stored(i, x) for i, x in enumerate(self.case.inputs(dtype=np.float32))]
        self.outputs = [self._empty(tensor.type) for tensor in self.node.outputs]
        self.saved = [self._empty(type_) for type_ in kernel.saved]
        if self.in_place:
            for written, read in kernel.forward_in_place[:1]:
                if not (self.wanted and read in kernel.backward_inputs):
                    self.outputs[written] = self.inputs[read]
        scratch = self._scratch(kernel.forward_scratch)
        kernel.forward(self.inputs, self.outputs, self.saved, scratch)()
        return [self._read(o, t.type) for o, t in zip(self.outputs, self.node.outputs, strict=True)]

    def backward(self) -> list[np.ndarray | None]:
        """Run backward behind forward; return the input gradients in float32, plain."""
        kernel, op = self.kernel, self.case.op
        arriving: list[Any] = [
            g if g is None else self._write(g, tensor.type)
            for g, tensor in zip(
                self.case.output_gradients(dtype=np.float32), self.node.outputs, strict=True
            )
        ]
        leaving: list[Any] = [None] * len(self.inputs)
        for index in self.wanted:
            leaving[index] = self._empty_like_input(index)
            if op.shares_gradient:
                leaving[index] = next(g for g in leaving if g is not None)
        if self.in_place:
            for into, out in kernel.backward_in_place[:1]:
                leaving = [arriving[out] if g is leaving[into] else g for g in leaving]
        reads = [x if i in kernel.backward_inputs else None for i, x in enumerate(self.inputs)]
        kept = [y if i in kernel.backward_outputs else None for i, y in enumerate(self.outputs)]
        scratch = self._scratch(kernel.backward_scratch)
        call = kernel.backward(reads, kept, self.saved, arriving, leaving, scratch)
        if call:
            call()
        self.stored_gradients = leaving
        return [g if g is None else self._plain(i, g) for i, g in enumerate(leaving)]

    def _is_parameter(self, index: int) -> bool:
        return index > 0 and self.case.types[index].dtype == "float32"

    def _stored(self, index: int, plain: np.ndarray) -> np.ndarray:
        if not self._is_parameter(index):
            return self._write(plain, self.case.types[index])
        layout = self.layout(index)
        host = np.zeros(layout.size, layout.element_type)
        layout.pack(plain, host)
        return layout.view(self._memory(host))

    def _empty_like_input(self, index: int) -> np.ndarray:
        if not self._is_parameter(index):
            return self._empty(self.case.types[index])
        layout = self.layout(index)
        return layout.view(self._memory(np.full(layout.size, np.nan, np.float32)))

    def _plain(self, index: int, gradient: np.ndarray) -> np.ndarray:
        if self._is_parameter(index):
            return self.layout(index).unpack(self.backend.memory.read(gradient.reshape(-1)))
        return self._read(gradient, self.case.types[index])

    def _empty(self, type_: TensorType) -> np.ndarray:
        dtype = np.dtype(ELEMENT_TYPES[self.precision][type_.dtype])
        ones = np.full(type_.size * dtype.itemsize, 0xFF, np.uint8)  # NaN in both precisions
        return self._memory(ones).view(dtype).reshape(type_.shape)

    def _memory(self, host: np.ndarray) -> Any:
        """Return the backend's memory with what a flat array holds."""
        memory = self.backend.memory.allocate(host.nbytes).view(host.dtype)
        self.backend.memory.write(host, memory)
        return memory

    def _scratch(self, nbytes: int) -> np.ndarray | None:
        return self._empty(TensorType((nbytes,), "uint8")) if nbytes else None

    def _half(self, type_: TensorType) -> bool:
        return self.precision == "bf16" and type_.dtype == "real"

    def _write(self, plain: np.ndarray, type_: TensorType) -> np.ndarray:
        host = from_float32(plain) if self._half(type_) else plain
        dtype = ELEMENT_TYPES[self.precision][type_.dtype]
        return self._memory(np.ravel(host).astype(dtype)).reshape(type_.shape)

    def _read(self, stored: np.ndarray, type_: TensorType) -> np.ndarray:
        host = self.backend.memory.read(stored)
        return to_float32(host) if self._half(type_) else host.copy()


def reference(case: Case) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the outputs and the input gradients in float64."""
    inputs = case.inputs()
    outputs, saved = case.op.forward(case.run(), *inputs)
    if not (case.training and case.op.gradient_inputs):
        return outputs, ()
    read = [x if i in case.op.backward_inputs else None for i, x in enumerate(inputs)]
    kept = [y if i in case.op.backward_outputs else None for i, y in enumerate(outputs)]
    gradients = tuple(case.output_gradients())
    return outputs, case.op.backward(case.run(), tuple(read), tuple(kept), saved, gradients)
