"""The parameters and states of a plan, in the layouts that its kernels want."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from denet.graph.graph import Tensor, Update
from denet.graph.kernel import Layout, Memory

PAD = 16  # float32 elements: every tensor starts on a cache line


class ParameterStore:
    """Flat arrays of weights, gradients and states.

    ``weights`` and ``gradients`` hold the trained tensors, those with decay first (the first
    ``decay_size`` elements), so a solver works on whole arrays. Padding is and stays zero.
    """

    def __init__(self, memory: Memory):
        self.memory = memory
        self.layouts: dict[str, Layout] = {}
        self.stored: dict[str, Any] = {}  # 1-D, by tensor name
        self.part_of: dict[str, slice] = {}  # of ``weights``, by name of a trained tensor
        self.weights: Any = np.zeros(0, np.float32)
        self.gradients: Any = np.zeros(0, np.float32)
        self.decay_size = 0
        self.states: dict[str, Any] = {}  # views of all_states
        self.all_states: Any = np.zeros(0, np.float32)
        self.state_part: dict[str, slice] = {}
        self._derived: dict[str, Tensor] = {}
        self.watched: list[tuple[slice, Callable[[], None]]] = []  # see Plan.watch

    def lay_out(self, tensors: Iterable[Tensor], layouts: Mapping[str, Layout]) -> None:
        """Give every parameter its place; trained ones share the flat arrays."""
        frozen: list[Tensor] = []
        decayed: list[Tensor] = []
        others: list[Tensor] = []
        for tensor in tensors:
            self.layouts[tensor.name] = layouts[tensor.name]
            group = frozen if not tensor.trainable else decayed if tensor.decay else others
            group.append(tensor)
            if tensor.derive:
                self._derived[tensor.name] = tensor
        starts, total = {}, 0
        for tensor in [*decayed, *others]:
            starts[tensor.name] = total
            total += -(-layouts[tensor.name].size // PAD) * PAD
            if tensor.decay:
                self.decay_size = total
        self.weights = self.memory.allocate(4 * total).view(np.float32)
        self.gradients = self.memory.allocate(4 * total).view(np.float32)
        for name, start in starts.items():
            part = self.part_of[name] = slice(start, start + layouts[name].size)
            self.stored[name] = self.weights[part]
        self._lay_out_apart(frozen)

    def lay_out_fixed(self, tensors: Iterable[Tensor], layouts: Mapping[str, Layout]) -> None:
        """Give every parameter memory of its own, in its layout's precision, without gradient."""
        tensors = list(tensors)
        self.layouts.update({tensor.name: layouts[tensor.name] for tensor in tensors})
        self._derived.update({tensor.name: tensor for tensor in tensors if tensor.derive})
        self._lay_out_apart(tensors)

    def _lay_out_apart(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            layout = self.layouts[tensor.name]
            dtype = np.dtype(layout.element_type)
            memory = self.memory.allocate(layout.size * dtype.itemsize)
            self.stored[tensor.name] = memory.view(dtype)

    def add_states(self, tensors: Iterable[Tensor]) -> None:
        """Give every state its part of one flat array."""
        tensors = list(tensors)
        total = sum(tensor.type.size for tensor in tensors)
        self.all_states = self.memory.allocate(4 * total).view(np.float32)
        start = 0
        for tensor in tensors:
            part = self.state_part[tensor.name] = slice(start, start + tensor.type.size)
            self.states[tensor.name] = self.all_states[part].reshape(tensor.shape)
            start = part.stop

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Take plain float32 arrays, by name; derived tensors are computed from them."""
        for name, stored in self.stored.items():
            derived = self._derived.get(name)
            plain = derived.derive(values) if derived and derived.derive else values[name]
            self._write(name, plain, stored)
        for name, state in self.states.items():
            self.memory.write(values[name], state)

    def values(self) -> dict[str, np.ndarray]:
        """Return new plain float32 arrays of every parameter and state, by name."""
        values = {name: self._read(name, stored) for name, stored in self.stored.items()}
        return {**values, **self.unpack_states(self.all_states)}

    def view(self, name: str) -> Any:
        """Return what a kernel receives for this parameter or state."""
        if name in self.states:
            return self.states[name]
        return self.layouts[name].view(self.stored[name])

    def gradient(self, name: str) -> Any:
        """Return where a kernel writes the gradient of this parameter."""
        return self.layouts[name].view(self.gradients[self.part_of[name]])

    def unpack(self, flat: Any) -> dict[str, np.ndarray]:
        """Return new plain float32 arrays, by name, of an array that is laid out as ``weights``."""
        return {name: self._read(name, flat[part]) for name, part in self.part_of.items()}

    def pack(self, values: Mapping[str, np.ndarray], flat: Any) -> None:
        """Write plain float32 arrays into an array that is laid out as ``weights``."""
        for name, part in self.part_of.items():
            self._write(name, values[name], flat[part])

    def unpack_states(self, flat: Any) -> dict[str, np.ndarray]:
        """Return new arrays, by name, of an array that is laid out as ``all_states``."""
        host = self.memory.read(flat)
        return {
            name: host[part].reshape(self.states[name].shape).copy()
            for name, part in self.state_part.items()
        }

    def pack_states(self, values: Mapping[str, np.ndarray], flat: Any) -> None:
        """Write arrays into one that is laid out as ``all_states``."""
        for name, part in self.state_part.items():
            self.memory.write(values[name].reshape(-1), flat[part])

    def _read(self, name: str, stored: Any) -> np.ndarray:
        """Return the plain array of a parameter that lies in ``stored``."""
        return self.layouts[name].unpack(self.memory.read(stored))

    def _write(self, name: str, plain: np.ndarray, stored: Any) -> None:
        """Bring a plain array into the layout of a parameter, in ``stored``."""
        host = np.zeros(stored.shape, stored.dtype)
        self.layouts[name].pack(np.ascontiguousarray(plain, np.float32), host)
        self.memory.write(host, stored)


class RunningAverages:
    """All update rules of a graph as one vector operation per step."""

    def __init__(self, updates: list[Update], store: ParameterStore):
        self._memory, self._states = store.memory, store.all_states
        nbytes = self._states.nbytes
        self._batch, self._keep, self._take = (
            self._memory.allocate(nbytes).view(np.float32) for _ in range(3)
        )
        keep, take = np.ones(self._states.size), np.zeros(self._states.size)
        self.arrays: dict[Tensor, Any] = {}  # where the forward pass leaves each value
        for update in updates:
            part = store.state_part[update.state.name]
            self.arrays[update.value] = self._batch[part].reshape(update.value.shape)
            keep[part] = update.momentum
            take[part] = (1 - update.momentum) * update.scale
        self._memory.write(keep, self._keep)
        self._memory.write(take, self._take)

    def step(self) -> None:
        """state = momentum * state + (1 - momentum) * scale * value, in place."""
        self._memory.running_average(self._states, self._batch, self._keep, self._take)
