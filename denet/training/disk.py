"""Whether the disk holds what a training will save."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable

import numpy as np

from denet.errors import DataError
from denet.memory import bytes_text
from denet.training.checkpoint import RunFiles
from denet.training.state import State

log = logging.getLogger(__name__)


def check_disk(files: RunFiles, state: State, tested: bool) -> None:
    """Ask for the space of what a training that is at ``state`` will leave.

    Warns if that is more than what is free; raises DataError if not even one state fits.
    """
    try:
        total, _, free = shutil.disk_usage(files.directory)
    except OSError:
        return
    if not total:  # a file system that tells nothing
        return
    model = _bytes(state.model.values().values())
    one = model + _bytes([*state.averages.values(), state.images])
    where = f"{bytes_text(free)} are free on the disk of {files.directory}"
    mend = "remove files there, or give another --output-prefix"
    if free < one:
        raise DataError(
            f"output: the state of this training takes {bytes_text(one)}, {where}: {mend}"
        )
    many = not state.settings.disable_intermediate
    models = many * (state.settings.epochs - state.position.epoch) + 1
    # what is replaced, state and best model, stays until the new file is whole
    needed = (2 - files.state.exists()) * one + (models + 2 * tested) * model
    if free < needed:
        log.warning(
            "output: the files of this training take %s (state %s, a model %s), %s: %s%s",
            *(bytes_text(needed), bytes_text(one), bytes_text(model), where, mend),
            ", or keep fewer models with --disable-intermediate" * many,
        )


def _bytes(arrays: Iterable[np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays)
