"""How much memory a training will take at most."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from denet.errors import OutOfMemoryError
from denet.graph.recompute import LADDER, Saving
from denet.memory import (
    REST_BYTES,
    Estimate,
    available_bytes,
    bytes_text,
    resident_bytes,
)
from denet.report.plotting import can_draw

if TYPE_CHECKING:
    from denet.dataset.loader import Loader
    from denet.training.learner import Learner
    from denet.training.settings import TrainSettings
    from denet.training.tester import Tester

log = logging.getLogger(__name__)

# where the backend has one
ON_DEVICE = {"activations", "test", "gradients and averages", "images sent", "images kept there"}
RESIDENT_SHARE = 4  # a set may take the fourth part of the free memory of a device
DRAWING = 38_000_000  # bytes that matplotlib takes


def fitting(
    make_learner: Callable[[Saving], Learner],
    loader: Loader,
    tester: Tester | None,
    settings: TrainSettings,
) -> Learner:
    """Return the learner that computes least twice of those that stay within the memory limit.

    Without a limit it is that of ``settings.recompute``. Raises OutOfMemoryError where none does.
    """
    limit, least = settings.memory_limit, None
    if limit is None:
        learner = make_learner(Saving(settings.recompute))
        make_resident(learner, loader, tester, limit)
        return learner
    for saving in LADDER:
        learner = make_learner(saving)
        needed = estimate(learner, loader, tester)
        if needed.total <= limit:
            log.info("memory limit %s: %s", bytes_text(limit), saving.text())
            make_resident(learner, loader, tester, limit)
            return learner
        if least is None or needed.total < least.total:
            least = needed
        del learner  # before the next one takes its memory
    assert least
    held = least.total - sum(least.growing.values())
    mend = f"{least.mend(limit - least.resident, cuts=False)}, or a higher limit"
    if limit <= held:
        mend = f"{bytes_text(held)} of that are taken by any batch of any images: give a higher one"
    raise OutOfMemoryError(
        f"--memory-limit: {bytes_text(limit)}: training needs {bytes_text(least.total)} at least, "
        f"whatever is computed twice: {mend}"
    )


def make_resident(
    learner: Learner, loader: Loader, tester: Tester | None, limit: int | None
) -> None:
    """Let sets lie on the device that leave enough of its memory, and of the limit."""
    free = learner.plan.memory.free_bytes()
    if free is None:
        return
    for each in _loaders(loader, tester):
        needed = estimate(learner, loader, tester)
        left = [free // RESIDENT_SHARE, free - needed.split(ON_DEVICE)[1].total]
        if limit is not None:
            left.append(limit - needed.total)
        each.resident = 0 < each.resident_bytes <= min(left)


def check_memory(learner: Learner, loader: Loader, tester: Tester | None) -> None:
    """Tell the memory that training will take; raise OutOfMemoryError if there is less."""
    needed, free = estimate(learner, loader, tester), learner.plan.memory.free_bytes()
    checks = [(needed, available_bytes())]
    if free is not None:
        host, device = needed.split(ON_DEVICE)
        checks = [(host, available_bytes()), (device, free)]
    for part, available in checks:
        log.info("%s", part.text(available))
    for part, available in checks:
        part.check(available)


def estimate(learner: Learner, loader: Loader, tester: Tester | None) -> Estimate:
    """Return what a training will hold, nothing of it run yet."""
    plan, loaders = learner.plan, _loaders(loader, tester)
    flat = plan.weights.nbytes
    growing = {
        "activations": plan.arena_bytes + plan.working_bytes,
        "test": tester.arena_bytes if tester else 0,
        "images": loader.working_bytes,
        "images sent": max(each.ahead_bytes for each in loaders),
    }
    whole = max(flat, 4 * learner.trained_count)  # of layers split over ranks each has a part
    averages = len(learner.kept) * whole
    kept = sum(each.nbytes for each in learner.kept.values())  # of several ranks, each has a part
    # a state is copied out of the plan, and once more by the library that writes it
    copies = averages + (whole + averages)
    fixed = {
        "gradients and averages": flat + kept + learner.spare_bytes,
        "copies to save": copies,
        "images kept there": sum(each.resident_bytes for each in loaders if each.resident),
        "photos kept decoded": loader.kept_bytes,
        "processes that decode": max(each.process_bytes for each in loaders),
        "order of the samples": loader.order_bytes,
        "shorter batches": learner.short_bytes(loader.epoch_samples)
        + (tester.short_bytes if tester else 0),
        "curves": DRAWING if can_draw() else 0,
        "rest": REST_BYTES,
    }
    return Estimate("training", loader.batch_size, growing, fixed, resident_bytes(), learner.factor)


def _loaders(loader: Loader, tester: Tester | None) -> list[Loader]:
    return [loader, *(tester.loaders if tester else [])]
