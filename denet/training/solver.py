"""Solvers: they move weights against their gradients, in place on flat float32 arrays.

    solver = make_solver("nesterov", weights.size, decay_size, [0.9], 1e-4, memory)
    solver.update(weights, gradients, learn_rate)

What they are called, which settings they take, what they keep; the rules are in graph/rule.py, the
arithmetic is the backend's.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from denet.errors import UsageError, nearest_hint
from denet.graph.kernel import Memory, Total
from denet.graph.rule import Adam, AdamW, GradientDescent, Momentum, Nesterov, Rule, Sgd, Span
from denet.training.average import newest_share

log = logging.getLogger(__name__)

AVERAGE = "average"  # of the weights, among what a solver keeps
MOST_MOMENTA = 2  # any rule may be given as many: the default of 2017 is two zeros


class Factors(NamedTuple):
    """What the learn rate and the decay of some parameters are multiplied by.

    ``momentum`` stands in the place of the first one of the solver, None for that.
    """

    rate: float = 1.0
    decay: float = 1.0
    momentum: float | None = None


class Solver:
    """A rule at work in a backend's memory. All that continuing needs: ``kept``, ``iteration``.

    ``faults`` (2,) int32 lie in this memory and tell what was not finite: whoever finds it in what
    a step is computed from sets the first, and nothing is updated from then on; an update sets the
    second where a weight is.

    spans    which elements of the flat arrays are updated, with which factors, see rule.py
    clip     largest global norm of the gradient, 0 = no limit (longer ones are scaled in place)
    average  keep a moving average of the weights too, see average.py
    """

    def __init__(
        self,
        rule: Rule,
        spans: Sequence[Span],
        clip: float,
        average: bool,
        memory: Memory,
        total: Total | None = None,
    ):
        self.iteration = 0  # updates made so far
        size = max((span.place + span.stop - span.start for span in spans), default=0)
        names = (*rule.averages, *(AVERAGE,) * average)
        self.kept = {name: memory.allocate(4 * size).view(np.float32) for name in names}
        self.faults = memory.allocate(8).view(np.int32)
        self._memory = memory
        self._averages = [self.kept[name] for name in rule.averages]
        self._update = memory.updater(rule, spans, clip, total)

    def update(self, weights: Any, gradients: Any, learn_rate: float) -> None:
        """Change ``weights`` (size,) in place by one step along ``gradients`` (size,)."""
        assert weights.shape == gradients.shape
        self._update(
            weights,
            gradients,
            self._averages,
            learn_rate,
            self.iteration,
            self.kept.get(AVERAGE),
            newest_share(self.iteration),
            self.faults,
        )
        self.iteration += 1

    def restart(self) -> None:
        """Forget all updates."""
        self.iteration = 0
        for kept in (*self.kept.values(), self.faults):
            self._memory.clear(kept)


SOLVERS: dict[str, type[Rule]] = {
    "sgd": Sgd,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "torch": Nesterov,
    "adam": Adam,
    "adamw": AdamW,
}


def make_solver(
    name: str,
    size: int,
    decay_size: int,
    momentum: Sequence[float],
    decay: float,
    memory: Memory,
    *,
    decay_all: bool = False,
    factors: Mapping[int, Factors] | None = None,
    clip: float = 0.0,
    average: bool = False,
    parts: Sequence[slice] | None = None,
    total: Total | None = None,
) -> Solver:
    """Return the solver called ``name`` for flat arrays of ``size`` elements in ``memory``.

    ``decay_size`` leading elements decay (weights; biases and scales come after them).
    ``decay_all`` lets every parameter decay, not only the first ``decay_size``; ``factors`` are
    those of learn rate, decay and momentum, see Solver; ``average`` keeps a moving average of the
    weights. Of arrays whose other ``parts`` are others' only these are updated, and what is kept of
    them lies side by side; ``total`` see ``Memory.updater``. Raises UsageError.
    """
    check_solver(name, momentum, decay, clip)
    rule, factors = SOLVERS[name], factors or {}
    some = momentum[0] or any(own.momentum for own in factors.values())
    if rule in (Sgd, Momentum, Nesterov) and not some:
        rule = GradientDescent
    if issubclass(rule, Adam) and not any(momentum):
        log.warning("%s without momenta sees signs only: usual is --learn-momentum 0.9 0.999", name)
    decay_size = size if decay_all else decay_size
    spans: list[Span] = []
    place = 0
    for part in [slice(0, size)] if parts is None else parts:
        for first, end, own in _parts(size, decay_size, factors):
            start, stop = max(first, part.start), min(end, part.stop)
            if start < stop:
                own_decay = decay * own.decay * (start < decay_size)
                spans.append(Span(start, stop, place, own.rate, own_decay, _momenta(momentum, own)))
                place += stop - start
    return Solver(rule(), spans, clip, average, memory, total)


def check_solver(name: str, momentum: Sequence[float], decay: float, clip: float) -> None:
    """Raise UsageError for a rule that does not exist and for numbers that it does not take."""
    if name not in SOLVERS:
        known = ", ".join(SOLVERS)
        raise UsageError(
            f"--solver: {name!r}{nearest_hint(name, list(SOLVERS))}: use one of {known}"
        )
    _check_momentum(name, momentum, len(SOLVERS[name].averages))
    for option, value in (("learn-decay", decay), ("gradient-clip", clip)):
        if not 0 <= value < math.inf:
            raise UsageError(f"--{option}: {value}: give 0 or a positive number")


def _check_momentum(name: str, momentum: Sequence[float], count: int) -> None:
    if not count <= len(momentum) <= MOST_MOMENTA:
        usual = " ".join(["0.9", "0.999"][:count])
        raise UsageError(
            f"--learn-momentum: {len(momentum)} given: {name} needs {count}: usual is {usual}"
        )
    for value in momentum[:count]:
        if not 0 <= value < 1:
            raise UsageError(f"--learn-momentum: {value}: give numbers from 0 to below 1")


def _parts(
    size: int, decay_size: int, factors: Mapping[int, Factors]
) -> Iterator[tuple[int, int, Factors]]:
    """Yield (start, stop, factors) of parts in which all decay, or none, with the same factors."""
    own = Factors()
    for start, stop in pairwise(sorted({0, decay_size, size, *factors})):
        own = factors.get(start, own)
        yield start, stop, own


def _momenta(momentum: Sequence[float], own: Factors) -> tuple[float, ...]:
    first = momentum[0] if own.momentum is None else own.momentum
    return first, *momentum[1:]
