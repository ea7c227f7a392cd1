"""The reference of an op on the processor, for nodes that have no kernel for the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from denet.backend.cuda.device import Device
from denet.backend.numpy.kernel import ReferenceKernel
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Call, Layout
from denet.graph.op.base import Run


class HostCall:
    """A call that runs on the processor, and so cannot be part of what a device captures."""

    def __init__(self, call: Call):
        self._call = call

    def __call__(self) -> None:
        self._call()


class HostKernel(ReferenceKernel):
    """Reads what it needs from the device, computes, and writes the results back."""

    name = "numpy on the processor"

    def __init__(
        self,
        device: Device,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        wanted: tuple[int, ...],
        layouts: Mapping[Tensor, Layout],
    ):
        self._device, self._keys, self._host = device, run, Run(training)
        super().__init__(node, training, precision, self._host, wanted, layouts)

    def forward(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._on_host(super().forward, (), inputs, outputs, saved)

    def repeat(
        self,
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
        scratch: np.ndarray | None,
    ) -> Call:
        return self._on_host(super().repeat, self.repeat_outputs, inputs, outputs, saved)

    def _on_host(
        self,
        bind: Callable[..., Call],
        known: tuple[int, ...],
        inputs: list[Any],
        outputs: list[Any],
        saved: list[Any],
    ) -> Call:
        """Return a call that makes what ``bind`` returns; the outputs ``known`` are there."""
        missing = [None if index in known else array for index, array in enumerate(outputs)]

        def call() -> None:
            copies, kept = _like(missing), _like(saved)
            for index in known:
                copies[index] = self._device.read(outputs[index])
            self._host.sample_keys = self._device.read(self._keys.sample_keys)
            bind(self._read_all(inputs), copies, kept, None)()
            self._write_all(copies, missing)
            self._write_all(kept, saved)

        return HostCall(call)

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
            read = self._read_all
            copies = _like(input_gradients)
            self._host.sample_keys = self._device.read(self._keys.sample_keys)
            compute = super(HostKernel, self).backward(
                read(inputs),
                read(outputs),
                read(saved),
                read(output_gradients),
                copies,
                None,
            )
            compute()
            self._write_all(copies, input_gradients)

        return HostCall(call)

    def _read_all(self, arrays: list[Any]) -> list[Any]:
        return [None if array is None else self._device.read(array) for array in arrays]

    def _write_all(self, arrays: list[Any], places: list[Any]) -> None:
        for array, place in zip(arrays, places, strict=True):
            if place is not None:
                self._device.write(array, place)


def _like(arrays: list[Any]) -> list[Any]:
    return [None if array is None else np.empty(array.shape, array.dtype) for array in arrays]
