"""What --resume makes of options that are typed anew and differ from those that the run began with.

Those that shaped the network or the training set are refused. Those that change what comes are told
here or, where training itself knows them, by State.check. All others are used and change no result.
"""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from denet.cli.options import layer_options
from denet.errors import UsageError

if TYPE_CHECKING:
    from denet.training.state import State

log = logging.getLogger(__name__)

SHAPING = (
    *("model", "init_partial", "border_mode", "activation", "weight_init", "normalise"),
    *("val_split", "max_samples", "augment_mirror"),
)
CHANGING = ("train", "extension", "test", "test_extension", "backend", "precision")


def check_resumed(options: argparse.Namespace, state: State) -> None:
    """Raise UsageError for options that a run cannot change; tell those that it can.

    ``options.recorded`` are those that the run began with, None where they are lost.
    """
    if options.recorded:
        for name in SHAPING:
            _refuse(name, getattr(options.recorded, name), getattr(options, name))
        if options.minutes:  # else epochs were typed in their place
            longer = "make the run longer with --resume --epochs N"
            began = options.recorded.minutes or "--epochs"
            _refuse("minutes", began, options.minutes, longer)
        for name in CHANGING:
            before, value = getattr(options.recorded, name), getattr(options, name)
            if value != before:
                log.warning(
                    "resume: %s: %s instead of %s from here on",
                    *(_option(name), _where(name, value), _where(name, before)),
                )
    else:
        log.warning("resume: the record of the options is lost: those typed are taken for them")
    if not options.model:
        _check_network(options, state)
    elif "model_desc" not in options.typed:
        options.model_desc = None  # the record must not name another network
    elif options.recorded:
        told = "model_desc" in options.recorded.typed
        _refuse("model_desc", options.recorded.model_desc if told else None, options.model_desc)


def _check_network(options: argparse.Namespace, state: State) -> None:
    """Raise UsageError if --model-desc with its options is another network than the run's."""
    from denet.model.desc import build_layers, layers_text, parse_desc

    wanted, trained = (
        build_layers(parse_desc(options.model_desc), layer_options(options)),
        state.model,
    )
    if wanted == trained.layers:
        return
    if layers_text(wanted) == trained.text():
        raise UsageError(
            "resume: --border-mode or --activation is not that of the run: leave it out"
        )
    raise UsageError(
        f"resume: --model-desc is {layers_text(wanted)} but the run trains {trained.text()}: leave "
        "it out"
    )


def _refuse(
    name: str, before: object, value: object, mend: str = "start a new run with --model"
) -> None:
    if value != before:
        raise UsageError(
            f"resume: {_option(name)}: {value} but the run began with {before}: leave it out, or "
            f"{mend}"
        )


def _where(name: str, value: object) -> object:
    """Return a value as it is told: a record names the backend, but for a GPU's."""
    return "a GPU" if (name, value) == ("backend", "auto") else value


def _option(name: str) -> str:
    return name.replace("_", "-")
