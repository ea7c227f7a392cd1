"""Options that a command does not take, fields of DeNet (2017), and what to write instead."""

from __future__ import annotations

_WITHOUT_EFFECT = "it never had an effect: leave it out"
_RESUME = "--resume goes on where a run stopped"

RETIRED = {
    # options
    "batch-data-size": _WITHOUT_EFFECT,
    "epoch-start": _RESUME,
    "export-model-dims": _WITHOUT_EFFECT,
    "export-symbolic": _WITHOUT_EFFECT,
    "gpus": "GPU=0 before the command takes the first GPU, model-train-multi several: leave it out",
    "initial-tune": "--learn-warmup 1 lets the learn rate grow in the first epoch",
    "model-dims": "shapes are found without that file, model-train-multi writes it: leave it out",
    "optimize-bn": _WITHOUT_EFFECT,
    "restart": _RESUME,
    "split-seed": _WITHOUT_EFFECT,
    "subset-max": _WITHOUT_EFFECT,
    "subset-start": _RESUME,
    "test-mode": _WITHOUT_EFFECT,
    "theano-flags": "there is no Theano here: leave it out",
    "update-server": "the ranks of model-train-multi need no server: leave it out",
    "use-acc-mode": "--batch-size-factor always takes one step for all its batches: leave it out",
    # fields of layers
    "combine-mode": "concatenate=1 stands for concat, concatenate=0 adds",
    "ignore-border": "it is called partial and says the opposite",
}
OF_RANKS = (
    *("hosts", "local-steps", "outer-momentum", "outer-rate", "outer-solver", "ranks"),
    *("shard-above", "sync-bn", "timeout", "wire"),
)


def instead(name: str) -> str | None:
    """Return what to do without this option or field, None if it is unknown everywhere."""
    name = name.lstrip("-").replace("_", "-")
    several = "model-train-multi has it, which goes on with one process too: --ranks 1"
    return several if name in OF_RANKS else RETIRED.get(name)
