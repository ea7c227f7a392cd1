"""A plan: a graph made ready to run on one backend. Everything is decided once, nothing per step.

plan = Plan(model.graph(32), backend, "train", "bf16")
plan.load(model.values())
costs = plan.run({"data": images, "class_index": classes}, sample_keys)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from denet.graph import fuse
from denet.graph.graph import Cost, Graph, Node, Tensor
from denet.graph.kernel import Backend, Call, Kernel, Layout, in_order
from denet.graph.lower import Lowering
from denet.graph.memory import ELEMENT_TYPES, Step, Value, plan_memory
from denet.graph.op.base import Run
from denet.graph.store import ParameterStore, RunningAverages
from denet.memory import STEP_BYTES

Inputs = Mapping[str, Any]  # arrays by name, or what came by ``Memory.feed``; first axis the batch


class Plan:
    """Kernels bound to memory in running order.

    ``mode`` is train (forward, costs, backward, running averages) or predict (batch norm folded,
    outputs only). ``precision`` is f32 or bf16 (activations and their gradients; weights, sums,
    statistics and costs stay f32). ``share`` names another plan of the same network in the same
    mode with another batch or image size: both then work on the same parameters. Memory for
    activations is taken by ``prepare``, which the first run calls: how much it will be is known
    before.
    ``recompute`` says what training computes twice instead of keeping it (recompute.py).

    ``memory`` is the backend's, in which all arrays lie but those that are returned.
    """

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        mode: str,
        precision: str = "f32",
        share: Plan | None = None,
        recompute: str = "segments",
    ):
        assert mode in ("train", "predict") and precision in ELEMENT_TYPES, (mode, precision)
        self.training = mode == "train"
        self.precision = precision
        self.batch_size = graph.batch_size
        self._recompute = recompute
        self._backend = backend
        self.memory = backend.memory
        keys = self.memory.allocate(8 * self.batch_size).view(np.uint64)
        self._run = Run(self.training, keys)
        if self.training:
            self._graph = fuse.for_training(graph, precision, backend.shares_statistics)
        else:
            self._graph = fuse.for_prediction(graph, precision)
        self._wanted = self._wanted_gradients()
        self._store: ParameterStore = share._store if share else ParameterStore(backend.memory)
        self._kernels = self._choose_kernels()
        if not share:
            self._lay_out_parameters()
        self.inputs = self._arrays(self._graph.inputs)
        costs = {cost.name: cost.tensor for cost in self._graph.costs}
        self._results = costs if self.training else self._graph.outputs
        self.outputs = self._arrays(self._results)
        self.ratios = self._arrays(self._graph.ratios)  # (part, whole), by name
        self._averages = RunningAverages(self._graph.updates, self._store)
        self._share = share
        self._steps = self._lower()
        self._arena_bytes = plan_memory(self._steps)
        self._arena: Any = None
        self._calls: list[Call] = []
        self._step: Call = in_order(self._calls)
        self._kinds: list[str] = []

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Take over parameters and states: plain float32 arrays by name."""
        self._store.load(values)

    def values(self) -> dict[str, np.ndarray]:
        """Return copies of parameters and states as plain float32 arrays by name."""
        return self._store.values()

    @property
    def weights(self) -> Any:
        """All trained parameters, flat; the first ``decay_size`` elements are weights."""
        return self._store.weights

    @property
    def gradients(self) -> Any:
        """The gradient of ``weights``, element by element, left by the last training run."""
        return self._store.gradients

    def watch(self, part: slice, done: Callable[[], None]) -> None:
        """Have ``done`` called in each run, as soon as this part of ``gradients`` is complete.

        It holds for all plans of these parameters that have not been prepared.
        """
        self._store.watched.append((part, done))

    @property
    def states(self) -> Any:
        """All running averages, flat."""
        return self._store.all_states

    @property
    def starts(self) -> dict[str, int]:
        """The first element of each trained parameter in ``weights``, in order, by name."""
        return {name: part.start for name, part in self._store.part_of.items()}

    def unpack(self, flat: Any) -> dict[str, np.ndarray]:
        """Return new plain float32 arrays, by name, of an array that is laid out as ``weights``."""
        return self._store.unpack(flat)

    def pack(self, values: Mapping[str, np.ndarray], flat: Any) -> None:
        """Write plain float32 arrays into an array that is laid out as ``weights``."""
        self._store.pack(values, flat)

    def unpack_states(self, flat: Any) -> dict[str, np.ndarray]:
        """Return new arrays, by name, of an array that is laid out as ``states``."""
        return self._store.unpack_states(flat)

    def pack_states(self, values: Mapping[str, np.ndarray], flat: Any) -> None:
        """Write arrays into one that is laid out as ``states``."""
        self._store.pack_states(values, flat)

    @property
    def decay_size(self) -> int:
        """Number of leading elements of ``weights`` to which L2 decay applies by default."""
        return self._store.decay_size

    @property
    def working_bytes(self) -> int:
        """Bytes that kernels take for a moment outside the arena, about."""
        return int(self._arena_bytes * self._backend.working_share)

    @property
    def kernel_bytes(self) -> int:
        """Bytes of compiled kernels, about."""
        return STEP_BYTES * len(self._steps)

    @property
    def arena_bytes(self) -> int:
        """Bytes of activations, their gradients and scratch memory."""
        return self._arena_bytes

    def prepare(self) -> None:
        """Take the memory for activations and bind every kernel to it, once. MemoryError."""
        if self._arena is not None:
            return
        # plans that share parameters run one after the other and may share the arena too
        if self._share and self._share.arena_bytes >= self._arena_bytes:
            self._share.prepare()
            self._arena = self._share._arena
        else:
            self._arena = self.memory.allocate(self._arena_bytes)
        self._share = None  # whose arena lives no longer for this
        pieces: list[Call] = []
        begin, due = 0, self._watchers()
        for index, step in enumerate(self._steps):
            call = step.bind(self._arena)
            if call:
                self._calls.append(call)
                self._kinds.append(step.kind)
            if index in due:
                pieces += [self._backend.sequence(self._calls[begin:]), *due[index]]
                begin = len(self._calls)
        if self._graph.updates:
            self._calls.append(self._averages.step)
            self._kinds.append("running averages")
        last = self._backend.sequence(self._calls[begin:])
        self._step = in_order([*pieces, last]) if pieces else last

    def _watchers(self) -> dict[int, list[Call]]:
        """Return what is to be called behind which step."""
        behind: dict[int, list[Call]] = defaultdict(list)
        if not self._store.watched:
            return behind
        part_of = self._store.part_of
        written = {
            name: index
            for index, step in enumerate(self._steps)
            for value in step.writes
            if (name := self._gradient_names.get(id(value.array)))
        }
        for part, done in self._store.watched:
            inside = [
                written[name]
                for name, own in part_of.items()
                if name in written and own.start < part.stop and part.start < own.stop
            ]
            behind[max(inside, default=len(self._steps) - 1)].append(done)
        return behind

    def run(self, batch: Inputs, sample_keys: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Run one batch; return outputs (predict) or costs (train), valid until the next run.

        ``sample_keys`` (n,) uint64 are the sources of randomness of each sample (dropout, crops).
        """
        self.start(batch, sample_keys)
        return {name: self.memory.read(array) for name, array in self.outputs.items()}

    def start(self, batch: Inputs, sample_keys: np.ndarray | None = None) -> None:
        """Begin to run one batch; memory that computes by itself may be at work still."""
        self.prepare()
        self._take(batch, sample_keys)
        self._step()

    def first_not_finite(
        self, batch: Inputs, sample_keys: np.ndarray | None = None
    ) -> tuple[str, str] | None:
        """Run one batch, looking at every array; None if all numbers are finite.

        Else return the name of the node where the first one is not, and what there is not finite:
        data, parameters, output or gradient. Running averages stay as they are.
        """
        self.prepare()
        self._take(batch, sample_keys)
        data = [id(array) for array in self.inputs.values()]
        for step in self._steps:
            for value in step.reads:
                if value.array is not None and not self._is_finite(value):
                    return step.name, "data" if id(value.array) in data else "parameters"
            call = step.bind(self._arena)
            if call:
                call()
            if not all(self._is_finite(value) for value in step.writes):
                return step.name, "output" if step.kind.endswith("forward") else "gradient"
        return None

    def profile(self) -> dict[str, float]:
        """Run the batch that was last given once more; return seconds by kind of step."""
        seconds: dict[str, float] = defaultdict(float)
        for kind, spent in zip(self._kinds, self.memory.seconds(self._calls), strict=True):
            seconds[kind] += spent
        return dict(seconds)

    def kernel_names(self) -> dict[str, str]:
        """Return which implementation each node runs."""
        return {node.name: kernel.name for node, kernel in self._kernels.items()}

    def _take(self, batch: Inputs, sample_keys: np.ndarray | None) -> None:
        for name, array in self.inputs.items():
            self.memory.write(batch[name], array)
        if sample_keys is None:
            sample_keys = np.arange(self.batch_size, dtype=np.uint64)
        self.memory.write(sample_keys, self._run.sample_keys)

    def _is_finite(self, value: Value) -> bool:
        """Look at the numbers of an array; bytes hold none (masks, scratch memory)."""
        array = self.memory.read(value.view(self._arena))
        if array.dtype == np.uint16:  # bfloat16: infinity and NaN have all bits of the exponent
            return not ((array & 0x7F80) == 0x7F80).any()
        return array.dtype.kind != "f" or bool(np.isfinite(array).all())

    def _wanted_gradients(self) -> dict[Node, tuple[int, ...]]:
        """Say for each node which inputs lead back to a trained parameter."""
        needs: set[Tensor] = set()
        wanted: dict[Node, tuple[int, ...]] = {}
        for node in self._graph.nodes:
            wanted[node] = tuple(
                index
                for index in _gradient_inputs(node)
                if self.training and _is_trained(node.inputs[index], needs)
            )
            if wanted[node]:
                needs.update(node.outputs)
        return wanted

    def _make_kernel(self, node: Node, wanted: tuple[int, ...]) -> Kernel:
        layouts = {
            tensor: self._store.layouts[tensor.name]
            for tensor in node.inputs
            if tensor.name in self._store.layouts
        }
        return self._backend.kernel(node, self.training, self.precision, self._run, layouts, wanted)

    def _choose_kernels(self) -> dict[Node, Kernel]:
        return {node: self._make_kernel(node, self._wanted[node]) for node in self._graph.nodes}

    def _lay_out_parameters(self) -> None:
        layouts: dict[str, Layout] = {}
        tensors: dict[Tensor, None] = {}
        states: dict[Tensor, None] = {}
        for node, kernel in self._kernels.items():
            chosen = kernel.layouts()
            for index, tensor in enumerate(node.inputs):
                if tensor.kind == "parameter":
                    tensors[tensor] = None
                    layouts[tensor.name] = chosen.get(index) or Layout(tensor.shape)
                elif tensor.kind == "state":
                    states[tensor] = None
        lay_out = self._store.lay_out if self.training else self._store.lay_out_fixed
        lay_out(tensors, layouts)
        self._store.add_states(states)

    def _arrays(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return an array for each name; names of one tensor share theirs."""
        made = {tensor: self._array(tensor) for tensor in dict.fromkeys(tensors.values())}
        return {name: made[tensor] for name, tensor in tensors.items()}

    def _array(self, tensor: Tensor) -> Any:
        dtype = np.dtype(ELEMENT_TYPES[self.precision][tensor.type.dtype])
        memory = self.memory.allocate(tensor.type.size * dtype.itemsize)
        return memory.view(dtype).reshape(tensor.shape)

    def _fixed_arrays(self) -> dict[Tensor, Any]:
        """Return the memory of all tensors that do not live in the arena."""
        fixed = {self._graph.inputs[name]: array for name, array in self.inputs.items()}
        fixed.update({tensor: self.outputs[name] for name, tensor in self._results.items()})
        fixed.update({tensor: self.ratios[name] for name, tensor in self._graph.ratios.items()})
        for node in self._graph.nodes:
            for tensor in node.inputs:
                if tensor.kind in ("parameter", "state"):
                    fixed[tensor] = self._store.view(tensor.name)
        return {**fixed, **self._averages.arrays}

    def _seed(self, cost: Cost) -> Any:
        """Return the gradient of a cost, where kernels can read it."""
        seed = self._array(cost.tensor)
        self.memory.write(np.full(seed.shape, cost.factor, seed.dtype), seed)
        return seed

    def _lower(self) -> list[Step]:
        """Return the steps in running order."""
        gradients = {
            tensor: self._store.gradient(tensor.name)
            for node, wanted in self._wanted.items()
            for tensor in (node.inputs[index] for index in wanted)
            if tensor.kind == "parameter"
        }
        self._gradient_names = {id(array): tensor.name for tensor, array in gradients.items()}
        lowering = Lowering(
            self._graph,
            self.precision,
            self._kernels,
            self._wanted,
            self._make_kernel,
            self._fixed_arrays(),
            gradients,
            {cost.tensor: self._seed(cost) for cost in self._graph.costs if self.training},
            self._recompute,
        )
        lowering.forward()
        if self.training:
            lowering.backward()
        return lowering.steps


def _gradient_inputs(node: Node) -> tuple[int, ...]:
    return tuple(index for index in node.op.gradient_inputs if index < len(node.inputs))


def _is_trained(tensor: Tensor, needs: set[Tensor]) -> bool:
    return (tensor.kind == "parameter" and tensor.trainable) or tensor in needs
