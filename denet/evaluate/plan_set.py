"""The plans of one network for batches of different sizes."""

from __future__ import annotations

from collections.abc import Callable

from denet.errors import OutOfMemoryError
from denet.graph.graph import Graph
from denet.graph.kernel import Backend
from denet.graph.plan import Plan
from denet.memory import REST_BYTES, Estimate, available_bytes, room


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
        advice: str = "try a smaller --batch-size or smaller images",
        recompute: str = "segments",
    ):
        self._make_graph, self._backend = make_graph, backend
        self._mode, self._precision, self._advice = mode, precision, advice
        self._recompute = recompute
        graph = make_graph(batch_size)
        with room(_fixed_bytes(graph), f"batch of {batch_size}", advice):
            self.full = self.make(graph, None)
        self._plans: dict[int, Plan] = {}

    def __getitem__(self, batch_size: int) -> Plan:
        """Return the plan for batches of this size, ready to run."""
        if batch_size not in self._plans:
            try:
                self._plans[batch_size] = self._prepared(batch_size)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"batch of {batch_size}: it does not fit into memory ({error}): {self._advice}"
                ) from error
        return self._plans[batch_size]

    def check_memory(
        self, work: str, image_bytes: int, more_bytes: int = 0, ahead_bytes: int = 0
    ) -> None:
        """Raise OutOfMemoryError, naming the ``work``, if full batches do not fit into memory.

        ``image_bytes`` are those of the batches held at once, ``more_bytes`` do not grow with them;
        ``ahead_bytes`` are those of batches that were sent to a device.
        """
        plan = self.full
        growing = {
            "activations": plan.arena_bytes + plan.working_bytes,
            "images": image_bytes,
            "images sent": ahead_bytes,
            "answers": 2 * sum(array.nbytes for array in plan.outputs.values()),  # and a copy
        }
        fixed = {"gradients": plan.gradients.nbytes, "rest": REST_BYTES + more_bytes}
        needed, free = Estimate(work, plan.batch_size, growing, fixed), plan.memory.free_bytes()
        if free is not None:
            needed, device = needed.split({"activations", "gradients", "images sent"})
            device.check(free)
        needed.check(available_bytes())

    def short_bytes(self, sample_num: int) -> int:
        """Return the bytes of the plan for the shorter last batch of so many samples, if any."""
        return self.full.kernel_bytes if sample_num % self.full.batch_size else 0

    def _prepared(self, batch_size: int) -> Plan:
        full = self.full
        whole = batch_size == full.batch_size
        plan = full if whole else self.make(self._make_graph(batch_size), full)
        plan.prepare()
        return plan

    def make(self, graph: Graph, share: Plan | None) -> Plan:
        """Return the plan of a graph, with the parameters of another of these plans."""
        return Plan(graph, self._backend, self._mode, self._precision, share, self._recompute)


def _fixed_bytes(graph: Graph) -> int:
    """Return the bytes of what a plan takes when it is made: images, targets and parameters."""
    tensors = (*graph.inputs.values(), *graph.parameters.values())
    return sum(4 * tensor.type.size for tensor in tensors)
