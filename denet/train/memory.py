"""How much memory a training will take at most, and what to do if there is less."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from denet.errors import OutOfMemoryError
from denet.memory import MEGABYTE, bytes_text, resident_bytes
from denet.report.plotting import can_draw

if TYPE_CHECKING:
    from denet.dataset.loader import Loader
    from denet.train.learner import Learner

DRAWING = 38_000_000  # bytes that matplotlib takes
REST = 8_000_000  # bytes of compiled kernels, stacks of threads, tables


@dataclass(frozen=True)
class Estimate:
    """Bytes that a training with batches of ``batch_size`` images holds at its peak.

    ``growing`` grows with the batch: activations, images in preparation. ``fixed`` does not:
    parameters, their gradients and averages, copies for files. ``resident`` is held already.
    """

    batch_size: int
    factor: int
    growing: Mapping[str, int]
    fixed: Mapping[str, int]
    resident: int

    @property
    def total(self) -> int:
        """The peak."""
        return self.resident + sum(self.growing.values()) + sum(self.fixed.values())

    def text(self, available: int | None) -> str:
        """Return the estimate in one line."""
        parts = {**self.growing, **self.fixed, "program and data": self.resident}
        listed = ", ".join(
            f"{name} {bytes_text(size)}" for name, size in parts.items() if size >= MEGABYTE
        )
        left = "" if available is None else f"; {bytes_text(available)} free"
        return f"memory: about {bytes_text(self.total)} at most ({listed}){left}"

    def check(self, available: int | None) -> None:
        """Raise OutOfMemoryError naming the batch size that fits, if this one does not."""
        growing, fixed = sum(self.growing.values()), sum(self.fixed.values())
        if available is None or growing + fixed <= available:
            return
        shrink = growing / max(available - fixed, 1)
        raise OutOfMemoryError(
            f"batch of {self.batch_size}: training needs {bytes_text(growing + fixed)} more, "
            f"{bytes_text(available)} are free: {advice(self.batch_size, self.factor, shrink)}"
        )


def estimate(learner: Learner, loader: Loader, test_arena: int) -> Estimate:
    """Return what a training will hold, nothing of it run yet.

    ``test_arena`` are the bytes of activations of a test.
    """
    plan, solver = learner.plan, learner.solver
    flat = plan.weights.nbytes
    growing = {
        "activations": plan.arena_bytes + plan.working_bytes,
        "test": test_arena,
        "images": loader.working_bytes,
    }
    averages = len(solver.kept) * flat
    sums = flat if learner.factor > 1 else 0
    # a state is copied out of the plan, and once more by the library that writes it
    copies = averages + (flat + averages)
    fixed = {
        "gradients and averages": flat + averages + sums,
        "copies to save": copies,
        "curves": DRAWING if can_draw() else 0,
        "rest": REST,
    }
    return Estimate(loader.batch_size, learner.factor, growing, fixed, resident_bytes())


def advice(batch_size: int, factor: int, shrink: float = 2.0) -> str:
    """Say how to take the same steps with ``shrink`` times less memory for the batch."""
    halvings = max(1, math.ceil(math.log2(shrink)))
    smaller = batch_size >> halvings
    if not smaller:
        return "use smaller images or a smaller network, or cut the network with SPLIT"
    steps = -(-batch_size * factor // smaller)
    return f"try --batch-size {smaller} --batch-size-factor {steps}"
