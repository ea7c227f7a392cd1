"""The parameters and states of a plan, in the layouts that its kernels want."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from denet.graph.graph import Tensor, Update
from denet.graph.kernel import Layout

PAD = 16  # float32 elements: every tensor starts on a cache line


class ParameterStore:
    """Flat arrays of weights, gradients and states.

    ``weights`` and ``gradients`` hold the trained tensors, those with decay first (the first
    ``decay_size`` elements), so a solver works on whole arrays. Padding is and stays zero.
    """

    def __init__(self, allocate: Callable[[int], np.ndarray]):
        self._allocate = allocate
        self.layouts: dict[str, Layout] = {}
        self.stored: dict[str, np.ndarray] = {}  # 1-D, by tensor name
        self.part_of: dict[str, slice] = {}  # of ``weights``, by name of a trained tensor
        self.weights: np.ndarray = np.zeros(0, np.float32)
        self.gradients: np.ndarray = np.zeros(0, np.float32)
        self.decay_size = 0
        self.states: dict[str, np.ndarray] = {}  # views of all_states
        self.all_states: np.ndarray = np.zeros(0, np.float32)
        self.state_part: dict[str, slice] = {}
        self._derived: dict[str, Tensor] = {}

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
        self.weights = self._allocate(4 * total).view(np.float32)
        self.gradients = self._allocate(4 * total).view(np.float32)
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
            memory = self._allocate(layout.size * dtype.itemsize)
            self.stored[tensor.name] = memory.view(dtype)

    def add_states(self, tensors: Iterable[Tensor]) -> None:
        """Give every state its part of one flat array."""
        tensors = list(tensors)
        total = sum(tensor.type.size for tensor in tensors)
        self.all_states = self._allocate(4 * total).view(np.float32)
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
            self.layouts[name].pack(np.ascontiguousarray(plain, np.float32), stored)
        for name, state in self.states.items():
            state[...] = values[name]

    def values(self) -> dict[str, np.ndarray]:
        """Return new plain float32 arrays of every parameter and state, by name."""
        values = {name: self.layouts[name].unpack(stored) for name, stored in self.stored.items()}
        values.update({name: state.copy() for name, state in self.states.items()})
        return values

    def view(self, name: str) -> Any:
        """Return what a kernel receives for this parameter or state."""
        if name in self.states:
            return self.states[name]
        return self.layouts[name].view(self.stored[name])

    def gradient(self, name: str) -> Any:
        """Return where a kernel writes the gradient of this parameter."""
        return self.layouts[name].view(self.gradients[self.part_of[name]])

    def unpack(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return new plain float32 arrays, by name, of an array that is laid out as ``weights``."""
        return {name: self.layouts[name].unpack(flat[part]) for name, part in self.part_of.items()}

    def unpack_states(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return views, by name, of an array that is laid out as ``all_states``."""
        return {
            name: flat[part].reshape(self.states[name].shape)
            for name, part in self.state_part.items()
        }

    def pack(self, values: Mapping[str, np.ndarray], flat: np.ndarray) -> None:
        """Write plain float32 arrays into an array that is laid out as ``weights``."""
        for name, part in self.part_of.items():
            self.layouts[name].pack(np.ascontiguousarray(values[name], np.float32), flat[part])


class RunningAverages:
    """All update rules of a graph as one vector operation per step."""

    def __init__(self, updates: list[Update], store: ParameterStore):
        self._states = store.all_states
        self._batch = np.zeros_like(self._states)
        self._keep = np.ones_like(self._states)
        self._take = np.zeros_like(self._states)
        self.arrays: dict[Tensor, np.ndarray] = {}  # where the forward pass leaves each value
        for update in updates:
            part = store.state_part[update.state.name]
            self.arrays[update.value] = self._batch[part].reshape(update.value.shape)
            self._keep[part] = update.momentum
            self._take[part] = (1 - update.momentum) * update.scale

    def step(self) -> None:
        """state = momentum * state + (1 - momentum) * scale * value, in place."""
        self._states *= self._keep
        self._states += self._take * self._batch
