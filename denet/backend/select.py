"""Choose the backend of a run: the fastest that works here, or the one that was asked for."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import OutOfMemoryError, UsageError
from denet.graph.kernel import Backend

log = logging.getLogger(__name__)


def choose_backend(name: str | None = None) -> Backend:
    """Return the GPU that GPU=N names, else a backend by name, or for None (``auto``) the best.

    That is oneDNN where it loads, else NumPy. Raises UsageError where what was asked for cannot
    run here, OutOfMemoryError where other programs have filled the GPU.
    """
    named = name if name != "auto" else None
    if number := os.environ.get("GPU", ""):
        return _cuda(number, named)
    if named:
        return BACKENDS[named]()
    try:
        return _onednn()
    except UsageError as error:
        log.warning("%s; running on the slower numpy backend", error)
        return NumpyBackend()


def _onednn() -> Backend:
    from denet.backend.onednn.backend import OneDnnBackend

    return OneDnnBackend()


def _cuda(number: str, named: str | None) -> Backend:
    """Return the backend on a GPU; ``number`` is what a person wrote."""
    if not re.fullmatch("[0-9]{1,9}", number):
        several = " (model-train-multi takes several)" if "," in number else ""
        raise UsageError(
            f"GPU={number}: give the number of one GPU, such as 0, or unset GPU to run on the CPU"
            f"{several}"
        )
    if named:
        raise UsageError(
            f"GPU={number}: --backend: {named} runs on the CPU: give --backend auto, or unset GPU"
        )
    from denet.backend.cuda.backend import CudaBackend
    from denet.backend.cuda.cupy_device import CupyDevice

    try:
        return CudaBackend(CupyDevice(int(number)))
    except (UsageError, OutOfMemoryError) as error:
        raise type(error)(f"GPU={number}: {error}, or unset GPU to run on the CPU") from None


BACKENDS: dict[str, Callable[[], Backend]] = {"onednn": _onednn, "numpy": NumpyBackend}
