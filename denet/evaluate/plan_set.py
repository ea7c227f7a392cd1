"""The plans of one network for batches of different sizes."""

from __future__ import annotations

from collections.abc import Callable

from denet.errors import OutOfMemoryError
from denet.graph.graph import Graph
from denet.graph.kernel import Backend
from denet.graph.plan import Plan


class PlanSet:
    """A plan for full batches, and plans for shorter ones that share its parameters.

    ``make_graph`` returns the network's graph for a batch size. Shorter plans are made when they
    are first asked for: the last batch of an epoch is the usual one. Raises OutOfMemoryError.
    """

    def __init__(
        self,
        make_graph: Callable[[int], Graph],
        batch_size: int,
        backend: Backend,
        mode: str,
        precision: str,
    ):
        self._make_graph, self._backend = make_graph, backend
        self._mode, self._precision = mode, precision
        self.full = self._make(batch_size, None)
        self._plans = {batch_size: self.full}

    def __getitem__(self, batch_size: int) -> Plan:
        """Return the plan for batches of this size."""
        if batch_size not in self._plans:
            self._plans[batch_size] = self._make(batch_size, self.full)
        return self._plans[batch_size]

    def _make(self, batch_size: int, share: Plan | None) -> Plan:
        graph = self._make_graph(batch_size)
        try:
            return Plan(graph, self._backend, self._mode, self._precision, share)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"batch of {batch_size}: its activations do not fit into memory ({error}): "
                f"try --batch-size {max(1, batch_size // 2)}"
            ) from error
