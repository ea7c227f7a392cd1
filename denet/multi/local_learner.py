"""Steps that each rank makes alone, in rounds, behind which all go on from the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from denet.dataset.loader import Batch
from denet.graph.kernel import Backend
from denet.graph.plan import Plan
from denet.graph.recompute import Saving
from denet.model.model import Model
from denet.multi.exchange import HostExchange, buckets
from denet.multi.rank_learner import RankLearner
from denet.multi.wire import Wire
from denet.training.learner import Measured
from denet.training.settings import TrainSettings
from denet.training.solver import make_solver


class LocalLearner(RankLearner):
    """A learner of one rank, which makes whole steps with its own share of their images.

    A round ends behind ``local_steps`` steps, and behind the last of an epoch. Then running
    statistics and what the solver keeps become the means over the ranks (DeNet of 2017 did so), by
    the images that each has seen in the round, and an outer solver moves the weights:

        change = mean over the ranks of (w0 - w)        w0: the weights at the begin of the round
        momentum   v = mu v - rate * change             w = w0 + v
        nesterov   m = mu m + change                    w = w0 - rate * (change + mu m)

    With mu = 0 and rate = 1 that is the mean of the weights. (Douillard et al. 2023, DiLoCo, arXiv
    2311.08105, algorithm 1: nesterov, mu = 0.9, rate = 0.7.)
    """

    _begun, _steps, _images = False, 0, 0  # of the round in hand
    _share = 0.0  # of the images of the step in hand: those of this rank so far

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
        super().__init__(wire, model, batch_size, settings, backend, precision, saving)
        plan = self.plan
        self._outer = make_solver(
            settings.outer_solver,
            plan.weights.size,
            plan.decay_size,
            [settings.outer_momentum],
            0.0,
            self._memory,
        )
        # weights and running statistics at the begin of the round
        self._begin_weights, self._begin_states = self._flat(plan.weights), self._flat(plan.states)

    @property
    def is_whole(self) -> bool:
        return not self._steps

    @property
    def kept(self) -> dict[str, Any]:
        outer = {f"outer_{name}": flat for name, flat in self._outer.kept.items()}
        return {**super().kept, **outer}

    @property
    def spare_bytes(self) -> int:
        return super().spare_bytes + int(self._begin_weights.nbytes)

    def add(self, batch: Batch, share: float, last: bool = True) -> Callable[[], Measured]:
        if not self._begun:
            self._memory.copy(self.plan.weights, self._begin_weights)
            self._memory.copy(self.plan.states, self._begin_states)
            self._begun = True
        if not batch.counted:
            return lambda: Measured({}, {})
        self._images += batch.counted
        self._share += share
        return super().add(batch, share, last)

    def update(self, learn_rate: float, ends: bool = False) -> Callable[[], bool]:
        finite = self._step(learn_rate)
        self._share = 0.0
        self._steps += 1
        if ends or self._steps == self._settings.local_steps:
            self._end_round()
        self._count_time()
        return finite

    def restart(self) -> None:
        super().restart()
        self._outer.restart()
        self._restart_round()

    def _restart_round(self) -> None:
        self._begun, self._steps, self._images = False, 0, 0

    def _accumulate(self, plan: Plan, share: float) -> None:
        """Keep the mean over the images of this rank, not a part of that over all."""
        if self._sum is not None:
            self._memory.blend(self._sum, plan.gradients, share / self._share)

    def _step(self, learn_rate: float) -> Callable[[], bool]:
        """Make a step alone; where the rank had no image of it, only count it."""
        if self._share:
            return super().update(learn_rate)
        self.solver.iteration += 1
        return lambda: True

    def _end_round(self) -> None:
        """Bring the ranks together, unless something was not finite: then all stay as they are."""
        told = np.zeros(self._wire.ranks + 1)
        faulty = self._memory.read(self.solver.faults).any()
        told[self._wire.rank], told[-1] = self._images, faulty
        *images, faults = self._wire.sum(told).tolist()
        self._restart_round()
        if not faults:
            self._join([each / sum(images) for each in images])

    def _join(self, shares: Sequence[float]) -> None:
        """End a round in which the ranks had these shares of the images."""
        plan, memory = self.plan, self._memory
        for flat in self.solver.kept.values():
            self._average(flat, shares)
        if self._state_average is not None:
            self._average(self._state_average, shares)
        # changes, so that what does not change stays so to the bit
        for begin, flat, change in (
            (self._begin_states, plan.states, self._kept_states),
            (self._begin_weights, plan.weights, plan.gradients),
        ):
            memory.copy(begin, change)
            memory.add(change, flat, -1.0)
            self._average(change, shares)
        memory.add(self._begin_states, self._kept_states, -1.0)
        memory.copy(self._begin_states, plan.states)
        self._outer.update(self._begin_weights, plan.gradients, self._settings.outer_rate)
        memory.copy(self._begin_weights, plan.weights)

    def _average(self, flat: Any, shares: Sequence[float]) -> None:
        """Make flat values the weighted means of those of all ranks."""
        cut = buckets(flat.size, flat.size, self._wire.ranks)
        exchange = HostExchange(self._wire, self._memory, cut, as_bf16=False)
        exchange.weights = shares
        for number in range(len(cut)):
            exchange.send(number, flat)
        exchange.finish()
        exchange.hand_out(flat)
