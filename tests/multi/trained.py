"""A training of one rank or several: trained.py CASE PREFIX KEY=VALUE ... writes PREFIX.npz.

Settings that are given as words replace those of the case; batch_size is that of all ranks.
"""

from __future__ import annotations

import ast
import sys
from typing import Any

import numpy as np
from training.tiny import empty_curves, tiny_model, tiny_set

from denet.backend.numpy.backend import NumpyBackend
from denet.dataset import open_dataset
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.training import journal
from denet.training.settings import TrainSettings
from denet.training.state import read_state
from denet.training.team import ALONE, Team
from denet.training.trainer import Trainer

journal.draw_curves = empty_curves  # they take longer than these runs, in every program of ranks

# no batch norm, whose batches are those of a rank: then ranks do as one process does
CLASSIFIER = "CM[5,0.5] C[8,3] A D[0.3] C[16,3] A P.A R"
NORMALISED = "C.B[8,3] BN A nRSN.O[1,8,3] P.A R"
WIDE = "CM[5,0.5] C[8,3] A D[0.3] F[30] A D[0.3] F[7] A R.TB"
DETECTOR = "C[8,3,2] A DNC[6,2] DNS[3,8] C[8] A DND[0.5,1,1,0.5]"
CASES: dict[str, dict[str, Any]] = {
    "nesterov": {"learn_momentum": (0.9, 0.0), "learn_decay": 1e-2},
    "clipped": {"gradient_clip": 0.05, "average": "ema", "batch_size_factor": 2},
    "adamw": {
        "solver": "adamw",
        "learn_momentum": (0.9, 0.99),
        "learn_decay": 1e-2,
        "learn_rate": 3e-3,
    },
    "normalised": {"sync_bn": True, "learn_momentum": (0.9, 0.0), "epochs": 10},
    "wide": {"shard_above": 0, "learn_momentum": (0.9, 0.0), "learn_decay": 1e-2},
    "wide-clipped": {
        **{"shard_above": 250, "gradient_clip": 0.05, "average": "ema", "batch_size_factor": 2},
        **{"learn_momentum": (0.9, 0.0), "layer_rates": ("F=0.5",)},
    },
    "detector": {"learn_rate": 0.02, "cost_factors": (2.0, 0.5), "batch_size_factor": 2},
}


def trainer(case: str, prefix: str, team: Team = ALONE, **changes: Any) -> Trainer:
    """Return the trainer of a case, or another ``text``; ``data`` is the folder of a detector's."""
    data, precision = changes.pop("data", None), changes.pop("precision", "f32")
    resume = changes.pop("resume", False)
    text = changes.pop("text", None)
    values = {"epochs": 5, "batch_size": 8, "learn_rate": 0.05, **CASES[case], **changes}
    values["batch_size"] //= team.share.ranks * values.get("batch_size_factor", 1)
    settings = TrainSettings(
        **values, output_prefix=prefix, ranks=team.share.ranks, model_save_dt=0, log_every=1e9
    )
    sets = (
        [open_dataset(data, "voc,train,crop=16", class_labels=["cat", "dog"]) for _ in range(2)]
        if data
        else [tiny_set(size=43), tiny_set(size=9, seed=1)]
    )
    state = read_state(f"{prefix}.state") if resume else None
    kind = case.partition("-")[0]
    text = text or {"normalised": NORMALISED, "wide": WIDE}.get(kind, CLASSIFIER)
    options = LayerOptions(border_mode="half")
    detector = Model.create(DETECTOR, (3, 16, 16), ["cat", "dog"], options, 1)
    model = state.model if state else detector if data else tiny_model(text=text)
    return Trainer(model, *sets, settings, NumpyBackend(), precision, state, team=team)


def arrays(run: Trainer) -> dict[str, np.ndarray]:
    """Train; return the weights, what the solver keeps, and what was measured."""
    history = run.run()
    metrics = {name: np.array([row[name] for row in history]) for name in ("cost", "test_error")}
    return run.model.values() | run._learner.averages() | metrics


def main() -> None:
    """Train as a rank; rank 0 writes."""
    from mpi4py import MPI

    from denet.multi.team import MpiTeam

    case, prefix, *words = sys.argv[1:]
    pairs = (word.split("=", 1) for word in words)
    changes = {name: ast.literal_eval(value) for name, value in pairs}
    team = MpiTeam(MPI.COMM_WORLD)
    found = arrays(trainer(case, prefix, team, **changes))
    if team.leads:
        np.savez(f"{prefix}.npz", **{name.replace("/", "|"): v for name, v in found.items()})


if __name__ == "__main__":
    main()
