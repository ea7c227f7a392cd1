"""Every variant of a network's convolutions timed on the device: ``model-bench --tune``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from denet.backend.cuda.backend import KERNELS, CudaBackend
from denet.backend.cuda.device import Device
from denet.backend.cuda.request import Request, Unserved
from denet.backend.cuda.tuning import Product, Tuning, Variant, by_formula, check_writable, write
from denet.bfloat16 import from_float32
from denet.errors import DenetError
from denet.graph.graph import Graph, Node, Tensor
from denet.graph.kernel import Call, Kernel, Layout
from denet.graph.memory import ELEMENT_TYPES
from denet.graph.op.base import Run
from denet.graph.op.conv import Conv
from denet.graph.op.deconv import Deconv
from denet.graph.plan import Plan
from denet.graph.tensor_type import TensorType

log = logging.getLogger(__name__)

LEAST = 2e-3  # seconds of a group of launches
LAUNCHES = 20  # of a group at most
GROUPS = 3  # of which the best counts
SOME = 1 << 20  # random numbers, of which arrays are made


@dataclass(frozen=True)
class Row:
    """A product: the variant that the formula chooses and the fastest, with their seconds."""

    product: str
    formula: str
    formula_seconds: float | None  # None: it does not run
    best: str
    best_seconds: float


def tune(device: Device, graph: Graph, mode: str, precision: str) -> list[dict[str, Any]]:
    """Time the variants of all convolutions of a network, and put the fastest into the table.

    Returns the fields of ``Row`` for each product. Raises DataError where the table cannot be
    written, MemoryError.
    """
    check_writable(device)
    rows = [*_rows(device, graph, mode, precision)]
    if rows:
        path = write(device, {row.product: row.best for row in rows})
        log.info("the fastest variants of %d products: %s", len(rows), path)
    return [asdict(row) for row in rows]


def _rows(device: Device, graph: Graph, mode: str, precision: str) -> Iterator[Row]:
    seen: set[str] = set()
    listing = _Listing(device)
    Plan(graph, listing, mode, precision)
    for node, training, wanted in listing.found:
        for direction in ((), *((index,) for index in wanted if index < 2)):
            try:
                trial = Trial(device, node, training, precision, direction)
            except Unserved:
                continue
            for product, variants in trial.asked:
                if product.key not in seen:
                    seen.add(product.key)
                    yield from _compared(device, trial, product, variants)


def _compared(
    device: Device, trial: Trial, product: Product, variants: list[Variant]
) -> Iterator[Row]:
    """Yield what was measured of a product: nothing where no variant runs."""
    seconds: dict[str, float] = {}
    for variant in variants:
        try:
            call = trial.call(Tuning(device, {product.key: variant.name}))
            seconds[variant.name] = fastest(device, call)
        except (DenetError, MemoryError, RuntimeError) as error:
            log.warning("%s: %s: left out: %s", product.key, variant.name, error)
    if seconds:
        best = min(seconds, key=lambda name: seconds[name])
        formula = by_formula(product, variants, device).name
        yield Row(product.key, formula, seconds.get(formula), best, seconds[best])


class _Listing(CudaBackend):
    """A backend that keeps which convolutions it was asked for."""

    def __init__(self, device: Device):
        super().__init__(device, Tuning(device, {}))
        self.found: list[tuple[Node, bool, tuple[int, ...]]] = []

    def kernel(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        layouts: Mapping[Tensor, Layout],
        wanted: tuple[int, ...],
    ) -> Kernel:
        if isinstance(node.op, Conv | Deconv):
            self.found.append((node, training, wanted))
        return super().kernel(node, training, precision, run, layouts, wanted)


class Trial:
    """One direction of a node on random numbers: forward, or backward to the inputs ``wanted``.

    Raises Unserved.
    """

    def __init__(
        self,
        device: Device,
        node: Node,
        training: bool,
        precision: str,
        wanted: tuple[int, ...],
    ):
        self._device = device
        run = Run(training, device.allocate(8 * node.outputs[0].shape[0]).view(np.uint64))
        layouts: Mapping[Tensor, Layout] = {}
        self._request = node, training, precision, run, layouts, wanted
        tuning = Tuning(device, {})
        self._first = self._kernel(tuning)
        # what backward asks for comes behind what forward does; some kernels have no choice
        self.asked = [*tuning.asked.values()][-1:]
        self._wanted = wanted

    @cached_property
    def _forward_arrays(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Inputs, outputs and what is saved, the same for all variants."""
        node = self._request[0]
        inputs = [self._parameter(index) for index in range(len(node.inputs))]
        outputs = [self._array(tensor.type) for tensor in node.outputs]
        return inputs, outputs, [self._array(type_) for type_ in self._first.saved]

    @cached_property
    def _backward_arrays(self) -> tuple[list[Any], list[Any]]:
        """Gradients of outputs and inputs."""
        node = self._request[0]
        arriving = [self._array(tensor.type) for tensor in node.outputs]
        indices = range(len(node.inputs))
        leaving = [self._parameter(index) if index in self._wanted else None for index in indices]
        return arriving, leaving

    def call(self, tuning: Tuning) -> Call:
        """Bind the kernel that ``tuning`` chooses; the call is good as long as this is."""
        kernel = self._kernel(tuning)
        size = kernel.backward_scratch if self._wanted else kernel.forward_scratch
        scratch = self._device.allocate(max(size, 1))
        read = self._forward_arrays
        if self._wanted:
            arriving, leaving = self._backward_arrays
            bound = kernel.backward(*read, arriving, leaving, scratch)
        else:
            bound = kernel.forward(*read, scratch)
        assert bound is not None

        def call(kept: object = (self, scratch)) -> None:
            bound()

        return call

    def _kernel(self, tuning: Tuning) -> Kernel:
        node = self._request[0]
        return KERNELS[type(node.op)](Request(self._device, tuning, *self._request))

    def _parameter(self, index: int) -> Any:
        """Return an array for an input, laid out as the kernel wants it, or for its gradient."""
        type_ = self._request[0].inputs[index].type
        return self._array(type_, self._first.layouts().get(index))

    def _array(self, type_: TensorType, layout: Layout | None = None) -> Any:
        """Return memory with normal numbers: a GPU multiplies simpler ones at less power."""
        own = ELEMENT_TYPES[self._request[2]][type_.dtype]
        dtype = np.dtype(layout.element_type if layout else own)
        count = layout.size if layout else type_.size
        memory = self._device.allocate(count * dtype.itemsize).view(dtype)
        some = np.random.default_rng(0).standard_normal(min(count, SOME), np.float32)
        numbers = from_float32(some) if dtype == np.uint16 else some.astype(dtype)
        self._device.write(np.resize(numbers, count), memory)
        return layout.view(memory) if layout else memory.reshape(type_.shape)


def fastest(device: Device, call: Call) -> float:
    """Return the seconds of a call, launched by a graph, in the best group of some."""
    call()  # which compiles
    (first,) = device.seconds([call])
    count = max(1, min(LAUNCHES, int(LEAST / max(first, 1e-9))))
    graph = device.capture([call] * count)
    device.seconds([graph] * 2)  # of which the second captures
    return min(device.seconds([graph] * GROUPS)) / count
