"""How much memory a training will take at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.memory import REST_BYTES, Estimate, resident_bytes
from denet.report.plotting import can_draw

if TYPE_CHECKING:
    from denet.dataset.loader import Loader
    from denet.train.learner import Learner

DRAWING = 38_000_000  # bytes that matplotlib takes


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
        "photos kept decoded": loader.dataset.kept_bytes,
        "order of the samples": loader.order_bytes,
        "curves": DRAWING if can_draw() else 0,
        "rest": REST_BYTES,
    }
    return Estimate("training", loader.batch_size, growing, fixed, resident_bytes(), learner.factor)
