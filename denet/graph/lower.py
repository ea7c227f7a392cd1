"""Graph to steps: the forward pass, the backward pass and what it computes again, in order.

Every array is written once (values are in static single assignment), so that the lifetime of each
is known and memory.py can lay them out. Gradients that meet at a tensor are added pairwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from denet.graph.graph import Graph, Node, Tensor
from denet.graph.kernel import Call, Kernel
from denet.graph.memory import ELEMENT_TYPES, Step, Value
from denet.graph.op.add import Add
from denet.graph.recompute import repeated
from denet.graph.tensor_type import TensorType

KernelOf = Callable[[Node, tuple[int, ...]], Kernel]


class Lowering:
    """Collects the steps of one plan.

    ``fixed`` gives tensors whose memory lies outside the arena (inputs, parameters, states,
    outputs); ``gradients`` gives the same for the gradients of trained parameters, ``seeds`` for
    those of the costs, which are constant. ``recompute`` is a choice of recompute.py.
    """

    def __init__(
        self,
        graph: Graph,
        precision: str,
        kernels: Mapping[Node, Kernel],
        wanted: Mapping[Node, tuple[int, ...]],
        make_kernel: KernelOf,
        fixed: Mapping[Tensor, np.ndarray],
        gradients: Mapping[Tensor, np.ndarray],
        seeds: Mapping[Tensor, np.ndarray],
        recompute: str,
    ):
        self._graph = graph
        self._types = ELEMENT_TYPES[precision]
        self._kernels = kernels
        self._wanted = wanted
        self._make_kernel = make_kernel
        self._parameter_gradients, self._seeds = gradients, seeds
        self._repeated, self._kept = repeated(graph, recompute)  # nodes to run again, outputs
        self._order = {node: place for place, node in enumerate(graph.nodes)}
        self._producer = {tensor: node for node in graph.nodes for tensor in node.outputs}
        self._forward: dict[Tensor, Value] = {}  # what the first pass wrote
        self._values: dict[Tensor, Value] = {}  # what backward reads: kept, or computed again
        self._saved: dict[Node, list[Value]] = {}
        self._gradients: dict[Tensor, Value] = {}
        self.steps: list[Step] = []
        for tensor, array in fixed.items():
            self._forward[tensor] = self._value(tensor.type, array)

    def forward(self) -> None:
        """Emit every node once."""
        for node in self._graph.nodes:
            self._emit_forward(node, self._forward)
        read_again = {
            node.outputs[index]
            for node in self._repeated
            for index in self._kernels[node].repeat_outputs
        }
        for tensor, value in self._forward.items():
            kept = tensor in self._kept or tensor in read_again
            if kept or self._producer.get(tensor) not in self._repeated:
                self._values[tensor] = value

    def backward(self) -> None:
        """Emit the gradients of the costs, from the last node to the first."""
        for tensor, seed in self._seeds.items():
            self._gradients[tensor] = self._value(tensor.type, seed)
        for node in reversed(self._graph.nodes):
            if self._wanted[node] and any(t in self._gradients for t in node.outputs):
                self._repeat_for(node)
                self._emit_backward(node)
        self._drop_unread()

    def _repeat_for(self, node: Node) -> None:
        """Run again what backward of this node reads and nobody kept, each node once."""
        kernel = self._kernels[node]
        read = [node.inputs[index] for index in kernel.backward_inputs if index < len(node.inputs)]
        read += [node.outputs[index] for index in kernel.backward_outputs]
        pending = [self._producer[each] for each in read if each not in self._values]
        if kernel.saved and node in self._repeated:
            pending.append(node)
        again: set[Node] = set()
        while pending:
            each = pending.pop()
            if each in self._repeated and each not in again:
                again.add(each)
                inputs = self._repeated[each].inputs
                missing = [tensor for tensor in inputs if tensor not in self._values]
                pending += [self._producer[tensor] for tensor in missing]
        for each in sorted(again, key=self._order.__getitem__):
            run = self._repeated.pop(each)
            known = [run.outputs[index] for index in self._kernel(run).repeat_outputs]
            written = [tensor for tensor in run.outputs if tensor not in known]
            values = {t: v for t, v in self._values.items() if t not in written}
            self._emit_forward(run, values, "recompute", known)
            self._values.update((tensor, values[tensor]) for tensor in run.outputs)

    def _kernel(self, node: Node) -> Kernel:
        """Return the kernel of a node of the graph, or make that of another one."""
        return self._kernels.get(node) or self._make_kernel(node, ())

    def _drop_unread(self) -> None:
        """Leave out steps of which nothing is read, as the last convolution of a segment."""
        read: set[Value] = set()
        kept = []
        for step in reversed(self.steps):
            arena_only = all(value.array is None for value in step.writes)
            if not arena_only or not read.isdisjoint(step.writes):
                read.update(step.reads)
                kept.append(step)
        self.steps = kept[::-1]

    def _value(self, type_: TensorType, array: np.ndarray | None = None) -> Value:
        dtype = np.dtype(array.dtype if array is not None else self._types[type_.dtype])
        return Value(type_, dtype, array)

    def _scratch(self, nbytes: int) -> list[Value]:
        return [self._value(TensorType((nbytes,), "uint8"))] if nbytes else []

    def _emit_forward(
        self,
        node: Node,
        values: dict[Tensor, Value],
        kind: str = "forward",
        known: Sequence[Tensor] = (),
    ) -> None:
        """Emit a node that reads and writes ``values``; its outputs ``known`` it reads too."""
        kernel = self._kernel(node)
        call = kernel.forward if kind == "forward" else kernel.repeat
        inputs = [values[tensor] for tensor in node.inputs]
        for tensor in node.outputs:
            # a recomputed output goes to the arena even where the first one is fixed
            if tensor not in values:
                values[tensor] = self._value(tensor.type)
        outputs = [values[tensor] for tensor in node.outputs]
        saved = [self._value(type_) for type_ in kernel.saved]
        self._saved[node] = saved
        scratch = self._scratch(kernel.forward_scratch)

        def bind(arena: np.ndarray) -> Call:
            return call(
                [value.view(arena) for value in inputs],
                [value.view(arena) for value in outputs],
                [value.view(arena) for value in saved],
                scratch[0].view(arena) if scratch else None,
            )

        pairs = [(outputs[out], inputs[into]) for out, into in kernel.forward_in_place]
        there = [values[tensor] for tensor in known]
        written = [value for value in outputs if value not in there]
        self.steps.append(
            Step(
                node.name,
                f"{type(node.op).__name__} {kind}",
                [*inputs, *there, *scratch],
                [*written, *saved, *scratch],
                bind,
                pairs,
            )
        )

    def _emit_backward(self, node: Node) -> None:
        kernel, wanted = self._kernels[node], self._wanted[node]
        count = len(node.inputs)
        inputs = [
            self._values[tensor] if index in kernel.backward_inputs else None
            for index, tensor in enumerate(node.inputs)
        ]
        outputs = [
            self._values[tensor] if index in kernel.backward_outputs else None
            for index, tensor in enumerate(node.outputs)
        ]
        saved = self._saved[node]
        arriving = [self._gradients.get(tensor) for tensor in node.outputs]
        leaving: list[Value | None] = [None] * count
        for index in wanted:
            tensor = node.inputs[index]
            shared = next((value for value in leaving if value), None)
            if node.op.shares_gradient and shared:
                leaving[index] = shared
            else:
                leaving[index] = self._value(tensor.type, self._parameter_gradients.get(tensor))
        scratch = self._scratch(kernel.backward_scratch)

        def views(values: list[Value | None], arena: np.ndarray) -> list[np.ndarray | None]:
            return [value.view(arena) if value else None for value in values]

        def bind(arena: np.ndarray) -> Call | None:
            return kernel.backward(
                views(inputs, arena),
                views(outputs, arena),
                [value.view(arena) for value in saved],
                views(arriving, arena),
                views(leaving, arena),
                scratch[0].view(arena) if scratch else None,
            )

        read = [value for value in [*inputs, *outputs, *saved, *arriving, *scratch] if value]
        written = list(dict.fromkeys(value for value in leaving if value))
        pairs = [
            (into, out)
            for into_index, out_index in kernel.backward_in_place
            if (into := leaving[into_index]) and (out := arriving[out_index])
        ]
        kind = f"{type(node.op).__name__} backward"
        self.steps.append(Step(node.name, kind, read, [*written, *scratch], bind, pairs))
        for index in wanted:
            value = leaving[index]
            assert value is not None
            self._accumulate(node.inputs[index], value)

    def _accumulate(self, tensor: Tensor, value: Value) -> None:
        """Add ``value`` to the gradient of ``tensor``."""
        before = self._gradients.get(tensor)
        if before is None:
            self._gradients[tensor] = value
            return
        assert tensor.kind == "value", f"{tensor.name} is used by two nodes"
        total = self._value(tensor.type)
        parts = [Tensor(tensor.type, "a"), Tensor(tensor.type, "b")]
        node = Node(Add(), parts, [Tensor(tensor.type, "sum")], f"{tensor.name} gradient")
        kernel = self._make_kernel(node, ())

        def bind(arena: np.ndarray) -> Call:
            arrays = [before.view(arena), value.view(arena)]
            return kernel.forward(arrays, [total.view(arena)], [], None)

        pairs = [(total, (before, value)[into]) for _, into in kernel.forward_in_place]
        step = Step(node.name, "Add gradients", [before, value], [total], bind, pairs)
        self.steps.append(step)
        self._gradients[tensor] = total
