"""Choose the backend of a run: the fastest that works here, or the one that was asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from denet.backend.numpy.backend import NumpyBackend
from denet.errors import UsageError
from denet.graph.kernel import Backend

log = logging.getLogger(__name__)


def choose_backend(name: str | None = None) -> Backend:
    """Return a backend by name, or for None (``auto``) oneDNN where it loads, else NumPy.

    Raises UsageError where GPU=N is set or the named backend cannot run here.
    """
    device = os.environ.get("GPU", "")
    if device:
        raise UsageError(
            f"GPU={device}: this version has no GPU backend: unset GPU to run on the CPU"
        )
    if name and name != "auto":
        return BACKENDS[name]()
    try:
        return _onednn()
    except UsageError as error:
        log.warning("%s; running on the slower numpy backend", error)
        return NumpyBackend()


def _onednn() -> Backend:
    from denet.backend.onednn.backend import OneDnnBackend

    return OneDnnBackend()


BACKENDS: dict[str, Callable[[], Backend]] = {"onednn": _onednn, "numpy": NumpyBackend}
