"""What the plan asks a kernel for, in the terms of oneDNN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from denet.backend.onednn.memory import F32, REAL, MemoryDesc
from denet.backend.onednn.primitive import FORWARD_INFERENCE, FORWARD_TRAINING
from denet.graph.graph import Node, Tensor
from denet.graph.kernel import Layout


@dataclass(frozen=True)
class Request:
    """One node and how it is to run; the fields are the arguments of ``Backend.kernel``."""

    node: Node
    training: bool
    precision: str
    layouts: Mapping[Tensor, Layout]
    wanted: tuple[int, ...]

    @property
    def kind(self) -> int:
        """The dnnl_prop_kind_t of the forward pass."""
        return FORWARD_TRAINING if self.training else FORWARD_INFERENCE

    @property
    def real(self) -> int:
        """The dnnl_data_type_t of the plan's precision."""
        return REAL[self.precision]

    def input(self, index: int = 0) -> MemoryDesc:
        """Return the descriptor of an activation that the node reads."""
        return self._activation(self.node.inputs[index])

    def output(self) -> MemoryDesc:
        """Return the descriptor of the first activation that the node writes."""
        return self._activation(self.node.outputs[0])

    def _activation(self, tensor: Tensor) -> MemoryDesc:
        dtype = F32 if tensor.type.dtype == "float32" else self.real
        return MemoryDesc.activation(tensor.shape, dtype)
