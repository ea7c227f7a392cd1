"""The learn rate of every step: annealing in stages as in 2017, or a cosine; linear warm-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from denet.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """learn_rate      of the start
    epochs          length of the whole training
    anneal          factor applied after each epoch, or after the epochs listed
    anneal_epochs   numbers of epochs trained, 1 = after the first; empty = after every epoch
    cosine          lr * (1 + cos(pi * steps done / all steps)) / 2 instead of annealing
    warmup_epochs   the rate grows linearly over this time, which need not be whole
    """

    learn_rate: float
    epochs: int
    anneal: float = 1.0
    anneal_epochs: Sequence[int] = ()
    cosine: bool = False
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        for option, value in (("learn-rate", self.learn_rate), ("learn-anneal", self.anneal)):
            if not 0 < value < math.inf:
                raise UsageError(f"--{option}: {value}: give a positive number")
        if self.epochs < 1:
            raise UsageError(f"--epochs: {self.epochs}: give at least 1")
        if not 0 <= self.warmup_epochs < math.inf:
            raise UsageError(f"--learn-warmup: {self.warmup_epochs}: give 0 or a positive number")
        if self.cosine and (self.anneal != 1 or self.anneal_epochs):
            raise UsageError("--learn-anneal: together with the cosine: choose one of the two")
        if any(epoch < 1 for epoch in self.anneal_epochs):
            raise UsageError("--learn-anneal-epochs: an epoch below 1: count epochs from 1")
        if self.anneal_epochs and self.anneal == 1:
            raise UsageError("--learn-anneal-epochs: nothing changes there: set --learn-anneal too")

    def rate(self, epoch: int, step: int, steps_per_epoch: int) -> float:
        """Return the learn rate of ``step`` (from 0) in ``epoch`` (from 0)."""
        done = epoch * steps_per_epoch + step
        warmup = self.warmup_epochs * steps_per_epoch
        ramp = min(1.0, (done + 1) / warmup) if warmup else 1.0
        if self.cosine:
            share = done / (self.epochs * steps_per_epoch)
            return self.learn_rate * ramp * (1 + math.cos(math.pi * share)) / 2
        return self.learn_rate * ramp * self.anneal ** self._stages(epoch)

    def _stages(self, epoch: int) -> int:
        """Return how many times the rate was annealed before ``epoch``."""
        if not self.anneal_epochs:
            return epoch
        return sum(stage <= epoch for stage in set(self.anneal_epochs))
