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
    are first asked for: the last batch of an epoch is the usual one. ``advice`` says how to mend
    an OutOfMemoryError, which is raised where a plan does not fit.
    """

    def __init__(
        self,
        make_graph: Callable[[int], Graph],
        batch_size: int,
        backend: Backend,
        mode: str,
        precision: str,
        advice: str = "try a smaller --batch-size",
    ):
        self._make_graph, self._backend = make_graph, backend
        self._mode, self._precision, self._advice = mode, precision, advice
        self.full = self._fit(batch_size, lambda: self._make(batch_size, None))
        self._plans: dict[int, Plan] = {}

    def __getitem__(self, batch_size: int) -> Plan:
        """Return the plan for batches of this size, ready to run."""
        if batch_size not in self._plans:
            self._plans[batch_size] = self._fit(batch_size, lambda: self._prepared(batch_size))
        return self._plans[batch_size]

    def _prepared(self, batch_size: int) -> Plan:
        full = self.full
        plan = full if batch_size == full.batch_size else self._make(batch_size, full)
        plan.prepare()
        return plan

    def _make(self, batch_size: int, share: Plan | None) -> Plan:
        graph = self._make_graph(batch_size)
        return Plan(graph, self._backend, self._mode, self._precision, share)

    def _fit(self, batch_size: int, make: Callable[[], Plan]) -> Plan:
        try:
            return make()
        except MemoryError as error:
            raise OutOfMemoryError(
                f"batch of {batch_size}: it does not fit into memory ({error}): {self._advice}"
            ) from error
