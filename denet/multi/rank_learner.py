"""What the learners of several ranks have in common: a wire, and the time that it takes."""

from __future__ import annotations

import time

from denet.dataset.loader import Batch
from denet.graph.kernel import Backend
from denet.graph.plan import Plan
from denet.graph.recompute import Saving
from denet.model.model import Model
from denet.multi.wire import Wire
from denet.training.learner import Learner
from denet.training.settings import TrainSettings


class RankLearner(Learner):
    """A learner of one rank, which tells the share of its steps that it waits for others."""

    def __init__(
        self,
        wire: Wire,
        model: Model,
        batch_size: int,
        settings: TrainSettings,
        backend: Backend,
        precision: str,
        saving: Saving,
    ):
        self._wire = wire
        super().__init__(model, batch_size, settings, backend, precision, saving)
        self.columns = [*self.columns, "exchange_share"]
        self._began: float | None = None  # when the step in hand did
        self._timed = 0.0, 0.0  # seconds of exchange and of whole steps since they were told

    @property
    def waited_seconds(self) -> float:
        """Seconds that this rank has waited for others so far."""
        return self._wire.seconds

    def timings(self) -> dict[str, tuple[float, float]]:
        (exchanged, whole), self._timed = self._timed, (0.0, 0.0)
        return {"exchange_share": (100 * exchanged, whole)}

    def _run(self, plan: Plan, batch: Batch, share: float, last: bool) -> None:
        self._began = self._began or time.perf_counter()
        super()._run(plan, batch, share, last)

    def _count_time(self) -> None:
        """Add the step in hand, which has ended, to those that are told."""
        exchanged, whole = self._timed
        waited, now = self.waited_seconds, time.perf_counter()
        exchanged += waited - self.exchange_seconds
        self._timed = exchanged, whole + now - (self._began or now)
        self._began, self.exchange_seconds = None, waited
