"""The ranks of an MPI program as the team of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denet.multi.started import communicator, host_names
from denet.multi.watch import Watch


@dataclass(frozen=True)
class Team:
    """All ranks, by the communicator of mpi4py that joins them, and who watches them."""

    communicator: Any
    watch: Watch


def join(timeout: float) -> Team:
    """Return the team of all ranks; each calls it. Raises UsageError, WorkerError."""
    world = communicator()
    return Team(world, Watch(world.Get_rank(), host_names(world), world.bcast, timeout))
