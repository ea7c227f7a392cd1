"""How fast a network runs here, and what it costs: time, memory, arithmetic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from denet.detect.box import BOX_CAPACITY
from denet.evaluate.plan_set import PlanSet
from denet.graph.kernel import Backend
from denet.graph.plan import Plan
from denet.memory import MEGABYTE, peak_bytes
from denet.model.model import Model

WARM_UP = 3  # steps before the clock runs: caches, page faults, processor frequency
PROFILE_RUNS = 5
BOXES = 8  # in each image, for detectors
PASSES = {"predict": 1, "train": 3}  # backward computes two products for each of forward


def measure(
    model: Model,
    backend: Backend,
    mode: str,
    precision: str,
    batch_size: int,
    steps: int,
    make_update: Callable[[Plan], Callable[[], object]] | None = None,
    recompute: str = "segments",
) -> dict[str, Any]:
    """Run ``steps`` steps on random images; return a flat dict of results as JSON values.

    A training step is one run of the plan, then the call that ``make_update(plan)`` returned.
    """
    start = time.perf_counter()
    plans = PlanSet(model.graph, batch_size, backend, mode, precision, recompute=recompute)
    plan = plans.full
    images = sum(array.nbytes for array in plan.inputs.values())
    plans.check_memory("a step", 2 * images, plan.weights.nbytes)  # of what an update keeps
    plan.load(model.values())
    update = make_update(plan) if make_update else None
    build_seconds = time.perf_counter() - start

    batch = _random_batch(model, batch_size)
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        plan.run(batch)
        if update:
            update()
        seconds.append(time.perf_counter() - start)
    seconds = seconds[WARM_UP:]
    kinds = _seconds_by_kind(plan, update)
    flops = model.graph(batch_size).flops() // batch_size
    return {
        "mode": mode,
        "backend": backend.name,
        "precision": precision,
        "batch_size": batch_size,
        "steps": steps,
        "images_per_second": batch_size / median(seconds),
        "images_per_second_min": batch_size / max(seconds),
        "images_per_second_max": batch_size / min(seconds),
        "ms_per_step": 1000 * median(seconds),
        "build_seconds": build_seconds,
        "peak_memory_mb": peak_bytes() / MEGABYTE,
        "arena_mb": plan.arena_bytes / MEGABYTE,
        "parameters": model.parameter_count(),
        "flops_per_image": flops,
        "gflops_per_second": PASSES[mode] * flops * batch_size / median(seconds) / 1e9,
        "ms_by_kind": {kind: 1000 * spent for kind, spent in kinds.items()},
    }


def bench_text(result: dict[str, Any]) -> str:
    """Return the result of ``measure`` as lines to read."""
    rows = [
        (
            "images/s",
            "{images_per_second:.1f} median, {images_per_second_min:.1f} least, "
            "{images_per_second_max:.1f} most",
        ),
        ("step", "{ms_per_step:.2f} ms for {batch_size} images"),
        (
            "arithmetic",
            "{gflops_per_second:.1f} GFLOP/s, {flops_per_image:,} FLOP per image forward",
        ),
        ("parameters", "{parameters:,}"),
        ("memory", "{peak_memory_mb:.0f} MB peak of the process, {arena_mb:.1f} MB activations"),
        ("preparation", "{build_seconds:.2f} s"),
    ]
    lines = ["{mode} on {backend}, {precision}, {steps} steps".format(**result)]
    lines += [f"{name:<13}{text.format(**result)}" for name, text in rows]
    kinds = sorted(result["ms_by_kind"].items(), key=lambda item: -item[1])
    total = sum(spent for _, spent in kinds) or 1.0
    width = max(len("kind of step"), *(len(kind) for kind, _ in kinds))
    lines += ["", f"{'kind of step':<{width}}  {'ms':>9}  share"]
    lines += [f"{kind:<{width}}  {ms:9.3f}  {ms / total:5.1%}" for kind, ms in kinds]
    return "\n".join(lines)


def tuned_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows of ``tune`` (backend/cuda/tune.py) as a table to read."""
    lines = [f"{'formula, us':>11} {'best, us':>9} {'gain':>6}  convolution: formula's, best"]
    for row in rows:
        formula, best = row["formula_seconds"] or math.inf, row["best_seconds"]
        variants = (
            row["best"] if row["formula"] == row["best"] else f"{row['formula']}, {row['best']}"
        )
        numbers = f"{1e6 * formula:11.1f} {1e6 * best:9.1f} {formula / best - 1:6.1%}"
        lines.append(f"{numbers}  {row['product']}: {variants}")
    return "\n".join([*lines, ""])


def _seconds_by_kind(plan: Plan, update: Callable[[], object] | None) -> dict[str, float]:
    """Return the least time of each kind of step in a few runs: what disturbs only adds."""
    least: dict[str, float] = {}
    for _ in range(PROFILE_RUNS):
        seconds = plan.profile()
        if update:
            (seconds["solver"],) = plan.memory.seconds([update])
        least = {kind: min(spent, least.get(kind, spent)) for kind, spent in seconds.items()}
    return least


def _random_batch(model: Model, batch_size: int) -> dict[str, np.ndarray]:
    channels, height, width = model.input_shape
    rng = np.random.default_rng(0)
    class_num = len(model.class_labels)
    one, other = rng.random((2, batch_size, BOX_CAPACITY, 2), np.float32)
    box = np.concatenate([np.minimum(one, other), np.maximum(one, other)], axis=2)
    box_class = np.full((batch_size, BOX_CAPACITY), -1, np.int32)
    box_class[:, :BOXES] = rng.integers(class_num, size=(batch_size, BOXES))
    return {
        "data": rng.standard_normal((batch_size, height, width, channels), np.float32),
        "class_index": rng.integers(class_num, size=batch_size, dtype=np.int32),
        "box": box,
        "box_class": box_class,
    }
