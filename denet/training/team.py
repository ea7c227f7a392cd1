"""Whom a training is made with: nobody, or other processes (denet/multi)."""

from __future__ import annotations

from typing import Any

import numpy as np

from denet.dataset.loader import WHOLE, Share
from denet.graph.kernel import Backend
from denet.graph.recompute import Saving
from denet.model.model import Model
from denet.training.learner import Learner
from denet.training.settings import TrainSettings


class Team:
    """One process that trains alone: rank 0 of 1. Teams of several derive from it.

    All ranks make the same calls in the same order.
    """

    share: Share = WHOLE

    @property
    def leads(self) -> bool:
        """Whether this rank writes the files of the run and tells how it goes."""
        return self.share.rank == 0

    def learner(
        self,
        model: Model,
        batch_size: int,
        settings: TrainSettings,
        backend: Backend,
        precision: str,
        saving: Saving,
    ) -> Learner:
        """Return what makes the steps."""
        return Learner(model, batch_size, settings, backend, precision, saving)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all ranks, the same to the bit on each."""
        return values

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order."""
        return [value]


ALONE = Team()
