"""The backends that are held against NumPy's, each with the reason where one cannot run here."""

from __future__ import annotations

import pytest
from backend.cuda.devices import device, unavailable

from denet.backend.cuda.backend import CudaBackend
from denet.backend.onednn.library import OneDnnUnavailable
from denet.graph.kernel import Backend


def backends() -> dict[str, Backend | str]:
    """Return the backends by name; a text is the reason why one is missing."""
    found: dict[str, Backend | str] = {}
    try:
        from denet.backend.onednn.backend import OneDnnBackend

        found["onednn"] = OneDnnBackend()
    except OneDnnUnavailable as reason:
        found["onednn"] = str(reason)
    found["cuda"] = unavailable() or CudaBackend(device())
    return found


def _parameter(name: str, found: Backend | str) -> object:
    missing = isinstance(found, str)
    return pytest.param(found, id=name, marks=pytest.mark.skipif(missing, reason=str(found)))


each_backend = pytest.mark.parametrize(
    "backend", [_parameter(name, found) for name, found in backends().items()]
)
