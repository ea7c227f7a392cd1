"""model-bench: measure how fast a network trains or predicts here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from denet.cli.command import Parser, run, tell
from denet.cli.options import COUNT, ENGINE, NETWORK, RECOMPUTE, Option, engine, network, refuse
from denet.errors import UsageError
from denet.kind import Choice, Flag

if TYPE_CHECKING:
    from denet.graph.plan import Plan
    from denet.model.model import Model


def parser() -> Parser:
    """Return the command line of model-bench."""
    return Parser(
        "model-bench",
        "Measure how fast a network trains or predicts, on random images.",
        "model-bench --model-desc C.B[64,3] BN A P.A R --image-size 32 32 --batch-size 64",
        {
            "network": NETWORK,
            "measuring": (
                Option("mode", "what a step does", Choice(("train", "predict")), "train"),
                Option("batch-size", "images per step", COUNT, 32, metavar="N"),
                Option("steps", "steps that are timed", COUNT, 20, metavar="S"),
                Option(
                    "tune",
                    "time every variant of the network's convolutions on the GPU first, and keep "
                    "the fastest: all commands choose by that table from then on",
                    Flag(),
                    False,
                ),
                Option("json", "print one JSON object", Flag(), False),
            ),
            "engine": (*ENGINE, RECOMPUTE),
        },
    )


def bench(options: argparse.Namespace) -> int:
    """Measure and print."""
    from denet.report.bench import bench_text, measure, tuned_text

    why = "--mode predict keeps nothing to compute again: leave one of them out"
    refuse(options, [RECOMPUTE], [(options.mode == "predict", "recompute", why)])
    model = network(options)
    model.check_trainable()
    tuned = tune_convolutions(options, model) if options.tune else []
    backend, precision = engine(options)
    update = training_update if options.mode == "train" else None
    kind = options.mode, precision, options.batch_size, options.steps
    result = measure(model, backend, *kind, update, options.recompute)
    if options.tune:
        result["tuned"] = tuned
    if options.tune and not options.json:
        tell(tuned_text(tuned))
    tell(json.dumps(result) if options.json else bench_text(result))
    return 0


def tune_convolutions(options: argparse.Namespace, model: Model) -> list[dict[str, Any]]:
    """Measure the convolutions on the GPU and write the table; raise UsageError on the CPU."""
    from denet.backend.select import choose_backend

    backend = choose_backend(options.backend)
    if backend.name != "cuda":
        raise UsageError("--tune: the CPU has no variants to choose from: put GPU=0 before it")
    from denet.backend.cuda.backend import CudaBackend
    from denet.backend.cuda.tune import tune

    assert isinstance(backend, CudaBackend)
    precision = options.precision
    precision = backend.auto_precision() if precision == "auto" else precision
    return tune(backend.device, model.graph(options.batch_size), options.mode, precision)


def training_update(plan: Plan) -> Callable[[], object]:
    """Return the update of weights that a usual training makes."""
    from denet.training.solver import make_solver

    solver = make_solver("nesterov", plan.weights.size, plan.decay_size, [0.9], 1e-4, plan.memory)
    return lambda: solver.update(plan.weights, plan.gradients, 1e-3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-bench; return its exit code."""
    return run(parser(), bench, arguments)
