"""The static graph of a network: tensors of known shape and the ops between them.

Activations are (n, h, w, c). A graph holds no arrays and knows no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from denet.graph.initial import Initial
from denet.graph.op.base import Op
from denet.graph.tensor_type import TensorType


@dataclass(eq=False)
class Tensor:
    """One value of the graph: an input, a parameter, a state or the output of a node."""

    type: TensorType
    name: str
    kind: str = "value"  # input | parameter | state | value
    initial: Initial | None = None  # parameters and states
    decay: bool = False  # parameters: L2 decay applies by default (weights, not biases)
    trainable: bool = True  # parameters: False when its layer is frozen
    derive: Callable[[Mapping[str, Any]], Any] | None = None  # computed from named values

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    def __repr__(self) -> str:
        return f"{self.name}{list(self.shape)}"


@dataclass(eq=False)
class Node:
    """One application of an op. ``segment`` counts the cuts (SPLIT) before it."""

    op: Op
    inputs: list[Tensor]
    outputs: list[Tensor]
    name: str
    segment: int = 0


@dataclass(frozen=True, eq=False)
class Update:
    """A running average kept by training: state = momentum * state + (1 - momentum) * value."""

    state: Tensor
    value: Tensor
    momentum: float
    scale: float = 1.0  # multiplies value first (n / (n - 1) for an unbiased variance)


@dataclass(eq=False)
class Cost:
    """A scalar that training minimises, multiplied by ``factor`` in the sum."""

    tensor: Tensor
    name: str
    factor: float = 1.0


@dataclass(eq=False)
class Graph:
    """A network under construction; layers call its methods in forward order."""

    batch_size: int
    class_num: int
    label_smoothing: float = 0.0
    inputs: dict[str, Tensor] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    ratios: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    taps: dict[int, Tensor] = field(default_factory=dict)
    marks: dict[str, Tensor] = field(default_factory=dict)  # what layers leave for later ones
    segment: int = 0
    _scopes: list[str] = field(default_factory=list)
    _frozen: bool = False

    @contextmanager
    def scope(self, name: str, frozen: bool = False) -> Iterator[None]:
        """Prefix every name made inside with ``name.``; ``frozen`` parameters are not trained."""
        self._scopes.append(name)
        before, self._frozen = self._frozen, self._frozen or frozen
        try:
            yield
        finally:
            self._scopes.pop()
            self._frozen = before

    def path(self, name: str) -> str:
        """Return ``name`` behind the names of the open scopes."""
        return ".".join([*self._scopes, name])

    def input(self, name: str, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Return the graph input called ``name``, made at its first use (names are not scoped)."""
        if name not in self.inputs:
            self.inputs[name] = Tensor(TensorType(shape, dtype), name, "input")
        return self.inputs[name]

    def parameter(
        self, name: str, shape: tuple[int, ...], initial: Initial, decay: bool = False
    ) -> Tensor:
        """Add a trained f32 array in border layout (convolution weights are OIHW)."""
        path = self.path(name)
        tensor = Tensor(
            TensorType(shape, "float32"),
            path,
            "parameter",
            initial=initial,
            decay=decay,
            trainable=not self._frozen,
        )
        assert path not in self.parameters, path
        self.parameters[path] = tensor
        return tensor

    def state(self, name: str, shape: tuple[int, ...], initial: Initial) -> Tensor:
        """Add an f32 array that training keeps by an update rule, not by gradients."""
        path = self.path(name)
        assert path not in self.states, path
        tensor = Tensor(TensorType(shape, "float32"), path, "state", initial=initial)
        self.states[path] = tensor
        return tensor

    def apply(self, op: Op, *inputs: Tensor, name: str = "") -> Any:
        """Add a node; return its output tensor, or a tuple where the op has several outputs."""
        types = op.infer(*(tensor.type for tensor in inputs))
        path = self.path(name or type(op).__name__.lower())
        outputs = [
            Tensor(kind, path if index == 0 else f"{path}:{index}")
            for index, kind in enumerate(types)
        ]
        self.nodes.append(Node(op, list(inputs), outputs, path, self.segment))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def update(self, state: Tensor, value: Tensor, momentum: float, scale: float = 1.0) -> None:
        """Keep ``state`` as the running average of ``value`` while training (unless frozen)."""
        if not self._frozen:
            self.updates.append(Update(state, value, momentum, scale))

    def cost(self, tensor: Tensor) -> None:
        """Add a scalar float32 tensor to what training minimises."""
        assert tensor.shape == (), tensor
        self.costs.append(Cost(tensor, tensor.name))

    def ratio(self, name: str, tensor: Tensor) -> None:
        """Name a tensor (2,), how many of how many, that a training plan hands back."""
        assert tensor.shape == (2,) and tensor.type.dtype in ("int32", "float32"), tensor
        self.ratios[name] = tensor

    def output(self, name: str, tensor: Tensor) -> None:
        """Name a tensor that a prediction plan hands back."""
        self.outputs[name] = tensor

    def split(self) -> None:
        """Cut here: training recomputes each segment but the last during backward."""
        self.segment += 1

    def flops(self) -> int:
        """Count the floating-point operations of one forward pass (a multiply-add is two)."""
        return sum(
            node.op.flops(
                tuple(tensor.type for tensor in node.inputs),
                tuple(tensor.type for tensor in node.outputs),
            )
            for node in self.nodes
        )
