"""Whether this process is one of several ranks, by what mpiexec and srun tell it."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from denet.errors import UsageError

MISSING = "pip install mpi4py mpich"
LISTED = "DENET_HOSTS"  # variable: --hosts of the launcher


class Names(NamedTuple):
    """The variables in which a program that starts ranks tells them who they are."""

    rank: str
    size: str
    local: str  # number among the ranks of a host


OF_SLURM = Names("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
STARTERS = (
    Names("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    Names("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),  # MPICH, Intel MPI, srun --mpi=pmi2
    OF_SLURM,
)


def started() -> tuple[int, int] | None:
    """Return rank and number of ranks of this process, None if nobody started it as one.

    A script of Slurm is not one: its step has one task. Raises UsageError.
    """
    names = _starter()
    return (_number(names.rank), _number(names.size)) if names else None


def local_rank() -> int:
    """Return the number of this rank among those of its host, 0 if nobody tells.

    srun --mpi=pmi2 tells it, but rank and size, in names of its own.
    """
    known = [names.local for names in STARTERS if names.local in os.environ]
    return _number(known[0]) if known and _starter() else 0


def communicator() -> Any:
    """Return the communicator of all ranks.

    Raises UsageError where there is no MPI, or another one than that which started the ranks.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "not found"
        raise UsageError(f"no MPI: {reason}: {MISSING}") from None
    world = MPI.COMM_WORLD
    told = started() or (0, 1)
    if told != (world.Get_rank(), world.Get_size()):
        how = (
            "srun takes --mpi=pmi2 for MPICH and Intel MPI, --mpi=pmix for Open MPI"
            if _starter() == OF_SLURM
            else "take the mpiexec of the MPI that mpi4py loads, or install one with its own: "
            f"{MISSING}"
        )
        raise UsageError(
            f"started as rank {told[0]} of {told[1]}, but MPI knows rank {world.Get_rank()} of "
            f"{world.Get_size()}: {how}"
        )
    return world


def host_names(world: Any) -> list[str]:
    """Return the names of the hosts of all ranks, as they were typed if they were."""
    if listed := os.environ.get(LISTED):
        own = listed.split(",")[world.Get_rank()]
    else:
        from mpi4py import MPI

        own = MPI.Get_processor_name()
    names: list[str] = world.allgather(own)
    return names


def _starter() -> Names | None:
    for names in STARTERS:
        if names.rank in os.environ and names.size in os.environ:
            batch = names == OF_SLURM and _number(names.size) == 1
            return None if batch else names
    return None


def _number(name: str) -> int:
    text = os.environ[name]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{name}={text}: not a number of ranks: unset it, or use mpiexec")
    return int(text)
