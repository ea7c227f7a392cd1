"""The ranks of an MPI program as the team of a training."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.dataset.loader import Share
from denet.graph.kernel import Backend
from denet.graph.recompute import Saving
from denet.model.model import Model
from denet.multi.learner import ParallelLearner
from denet.multi.local_learner import LocalLearner
from denet.multi.started import communicator, host_names
from denet.multi.watch import Watch
from denet.multi.wire import Wire
from denet.training.learner import Learner
from denet.training.settings import TrainSettings
from denet.training.team import Team


class MpiTeam(Team):
    """The ranks of a communicator of mpi4py."""

    def __init__(self, communicator: Any):
        # gradients travel while sums of other things are asked for
        self._wire, self._gradients = Wire(communicator), Wire(communicator.Dup())
        self.share = Share(self._wire.rank, self._wire.ranks)

    def learner(
        self,
        model: Model,
        batch_size: int,
        settings: TrainSettings,
        backend: Backend,
        precision: str,
        saving: Saving,
    ) -> Learner:
        kind = settings, backend, precision, saving
        if settings.local_steps:
            return LocalLearner(self._gradients, model, batch_size, *kind)
        if self.share.ranks == 1:
            return Learner(model, batch_size, *kind)
        return ParallelLearner(self._gradients, model, batch_size, *kind)

    def sum(self, values: np.ndarray) -> np.ndarray:
        return self._wire.sum(values)

    def gather(self, value: Any) -> list[Any]:
        return self._wire.gather(value)


def join(timeout: float) -> tuple[MpiTeam, Watch]:
    """Return the team of all ranks, and who watches them for one that is gone; each calls it.

    ``timeout`` is in seconds. Raises UsageError, WorkerError.
    """
    world = communicator()
    watch = Watch(world.Get_rank(), host_names(world), world.bcast, timeout)
    return MpiTeam(world), watch
