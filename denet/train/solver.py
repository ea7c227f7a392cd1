"""Solvers: they move weights against their gradients, in place on flat float32 arrays.

    solver = make_solver("nesterov", weights.size, decay_size, [0.9], decay=1e-4)
    solver.update(weights, gradients, learn_rate)

An update is bound by memory, so the arrays are walked in chunks that stay in cache through all
operations of the rule, by several threads (NumPy lets go of the interpreter lock). No element
depends on another (but for clipping, whose norm is summed in a fixed order), so the number of
threads never changes a result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from denet.errors import UsageError, nearest_hint
from denet.train.average import blend, newest_share

log = logging.getLogger(__name__)

CHUNK = 1 << 17  # elements: four arrays of it about fill a level 2 cache, and calls stay few


AVERAGE = "average"  # of the weights, among what a solver keeps
MOST_MOMENTA = 2  # any rule may be given as many: the default of 2017 is two zeros


class Factors(NamedTuple):
    """What the learn rate and the decay of some parameters are multiplied by.

    ``momentum`` stands in the place of the first one of the solver, None for that.
    """

    rate: float = 1.0
    decay: float = 1.0
    momentum: float | None = None


class Chunk(NamedTuple):
    """What a rule works on: parts of the flat arrays, and scratch memory of the same length."""

    p: np.ndarray  # weights
    g: np.ndarray  # gradient
    averages: list[np.ndarray]
    scratch: np.ndarray  # (scratch_num, elements)
    decay: float
    learn_rate: float
    momentum: tuple[float, ...]

    def decayed(self, out: np.ndarray) -> np.ndarray:
        """Return g + decay * p, in ``out``; ``g`` itself where nothing decays."""
        if not self.decay:
            return self.g
        np.multiply(self.p, self.decay, out=out)
        out += self.g
        return out


class Solver:
    """What all rules share: chunks, threads, L2 decay (g += decay * p), clipping, state.

    All that continuing needs are the running averages ``kept`` and ``iteration``.

    size        elements of the flat arrays
    decay_size  leading elements that decay (weights; biases and scales come after them)
    factors     by the element from which on, up to the next one, they hold; before them Factors()
    momentum    the rule's averaging factors, each in [0, 1)
    clip        largest global norm of the gradient, 0 = no limit (longer ones are scaled in place)
    average     keep a moving average of the weights too, see average.py
    """

    averages: ClassVar[tuple[str, ...]] = ()  # running averages that the rule keeps, by name
    scratch_num: ClassVar[int] = 1  # chunks of scratch memory per thread

    def __init__(
        self,
        size: int,
        decay_size: int,
        momentum: Sequence[float],
        decay: float,
        factors: Mapping[int, Factors],
        clip: float,
        threads: int,
        average: bool,
    ):
        self.size, self.momentum, self.clip = size, tuple(momentum), clip
        self.iteration = 0  # updates made so far
        names = (*self.averages, *(AVERAGE,) * average)
        self.kept = {name: np.zeros(size, np.float32) for name in names}
        chunks = [
            (part, decay * own.decay if start < decay_size else 0.0, own.rate, self._momenta(own))
            for start, stop, own in _spans(size, decay_size, factors)
            for part in _chunks(start, stop)
        ]
        threads = max(1, min(threads, len(chunks)))
        self._shares = [chunks[first::threads] for first in range(threads)]
        self._scratch = np.zeros((threads, self.scratch_num, CHUNK), np.float32)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def update(self, weights: np.ndarray, gradients: np.ndarray, learn_rate: float) -> bool:
        """Change ``weights`` (size,) in place by one step along ``gradients`` (size,).

        Returns whether they are all finite numbers then.
        """
        assert weights.shape == gradients.shape == (self.size,)
        scale = self._clip_scale(gradients)
        average = self.kept.get(AVERAGE)

        def work(thread: int) -> bool:
            finite = True
            # a diverging run is reported by what this returns, not by warnings from here
            with np.errstate(all="ignore"):
                for part, decay, rate, momentum in self._shares[thread]:
                    p, g = weights[part], gradients[part]
                    if scale != 1:
                        g *= scale
                    averages = [self.kept[name][part] for name in self.averages]
                    scratch = self._scratch[thread, :, : p.size]
                    chunk = Chunk(p, g, averages, scratch, decay, rate * learn_rate, momentum)
                    self.step(chunk)
                    # the chunk is in cache still
                    finite &= math.isfinite(p.sum())
                    if average is not None:
                        blend(average[part], p, newest_share(self.iteration), scratch[0])
            return finite

        shares = list((self._pool.map if self._pool else map)(work, range(len(self._shares))))
        self.iteration += 1
        return all(shares)

    def restart(self) -> None:
        """Forget all updates."""
        self.iteration = 0
        for average in self.kept.values():
            average[...] = 0

    def step(self, chunk: Chunk) -> None:
        """Apply the rule: change weights and averages of the chunk, leave its gradient alone."""
        raise AssertionError("abstract")

    def _momenta(self, own: Factors) -> tuple[float, ...]:
        first = self.momentum[0] if own.momentum is None else own.momentum
        return first, *self.momentum[1:]

    def _clip_scale(self, gradients: np.ndarray) -> float:
        """Return the factor that brings the gradient's Euclidean norm down to ``clip``."""
        if not self.clip:
            return 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            squares = [
                float(np.einsum("i,i->", gradients[part], gradients[part]))
                for part in _chunks(0, self.size)
            ]
        norm = math.sqrt(math.fsum(squares)) if all(map(math.isfinite, squares)) else 0.0
        return self.clip / norm if norm > self.clip else 1.0


class GradientDescent(Solver):
    """p -= lr * g: what all with one momentum are without it, and no array to keep."""

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (t,) = chunk.p, chunk.scratch
        np.multiply(chunk.decayed(t), chunk.learn_rate, out=t)
        p -= t


class Sgd(Solver):
    """m = rho * m + (1 - rho) * g, rho = 0 at the first update; p -= lr * m.

    Damped, as DeNet (2017) has it: a step is no longer with momentum than without.
    """

    averages = ("momentum",)

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (m,), (t,) = chunk.p, chunk.averages, chunk.scratch
        rho = chunk.momentum[0] if self.iteration else 0.0
        m *= rho
        np.multiply(chunk.decayed(t), 1 - rho, out=t)
        m += t
        np.multiply(m, chunk.learn_rate, out=t)
        p -= t


class Momentum(Solver):
    """v = rho * v - lr * g; p += v: classical momentum, as Krizhevsky et al. 2012 (section 5)."""

    averages = ("momentum",)

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (v,), (t,) = chunk.p, chunk.averages, chunk.scratch
        np.multiply(chunk.decayed(t), chunk.learn_rate, out=t)
        v *= chunk.momentum[0]
        v -= t
        p += v


class Nesterov(Solver):
    """m = rho * m + g; p -= lr * (g + rho * m): Torch's form of Nesterov's method.

    Keeps q = rho * m, which saves one pass: q = rho * (q + g); p -= lr * (g + q).
    """

    averages = ("momentum",)

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (q,), (t,) = chunk.p, chunk.averages, chunk.scratch
        g = chunk.decayed(t)
        q += g
        q *= chunk.momentum[0]
        np.add(g, q, out=t)
        t *= chunk.learn_rate
        p -= t


class Adam(Solver):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m' / (sqrt(v') + 1e-8).

    m' = m / (1 - b1^t), v' = v / (1 - b2^t), t = 1, 2, ...: Kingma and Ba 2015, algorithm 1.
    """

    averages = ("mean", "square")
    scratch_num = 2
    epsilon = 1e-8

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (m, v), (t, u), (b1, b2) = chunk.p, chunk.averages, chunk.scratch, chunk.momentum
        g = chunk.decayed(t)
        m *= b1
        np.multiply(g, 1 - b1, out=u)
        m += u
        v *= b2
        np.multiply(g, g, out=u)
        u *= 1 - b2
        v += u
        np.sqrt(v, out=t)
        t *= 1 / math.sqrt(1 - b2 ** (self.iteration + 1))
        t += self.epsilon
        np.divide(m, t, out=t)
        t *= chunk.learn_rate / (1 - b1 ** (self.iteration + 1))
        p -= t


class AdamW(Adam):
    """p *= 1 - lr * decay, then Adam without decay: Loshchilov and Hutter 2019, algorithm 2."""

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p = chunk.p
        if chunk.decay:
            p *= 1 - chunk.learn_rate * chunk.decay
        super().step(chunk._replace(decay=0.0))


SOLVERS: dict[str, type[Solver]] = {
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
    *,
    decay_all: bool = False,
    factors: Mapping[int, Factors] | None = None,
    clip: float = 0.0,
    threads: int = 2,
    average: bool = False,
) -> Solver:
    """Return the solver called ``name`` for flat arrays of ``size`` elements.

    ``decay_all`` lets every parameter decay, not only the first ``decay_size``; ``factors`` are
    those of learn rate, decay and momentum, see Solver; ``average`` keeps a moving average of the
    weights. Raises UsageError.
    """
    check_solver(name, momentum, decay, clip)
    kind, factors = SOLVERS[name], factors or {}
    some = momentum[0] or any(own.momentum for own in factors.values())
    if kind in (Sgd, Momentum, Nesterov) and not some:
        kind = GradientDescent
    if issubclass(kind, Adam) and not any(momentum):
        log.warning("%s without momenta sees signs only: usual is --learn-momentum 0.9 0.999", name)
    decay_size = size if decay_all else decay_size
    return kind(size, decay_size, momentum, decay, factors, clip, threads, average)


def check_solver(name: str, momentum: Sequence[float], decay: float, clip: float) -> None:
    """Raise UsageError for a rule that does not exist and for numbers that it does not take."""
    if name not in SOLVERS:
        known = ", ".join(SOLVERS)
        raise UsageError(f"solver: {name!r}{nearest_hint(name, list(SOLVERS))}: use one of {known}")
    _check_momentum(name, momentum, len(SOLVERS[name].averages))
    for option, value in (("learn-decay", decay), ("gradient-clip", clip)):
        if not 0 <= value < math.inf:
            raise UsageError(f"{option}: {value}: give 0 or a positive number")


def _check_momentum(name: str, momentum: Sequence[float], count: int) -> None:
    if not count <= len(momentum) <= MOST_MOMENTA:
        usual = " ".join(["0.9", "0.999"][:count])
        raise UsageError(
            f"learn-momentum: {len(momentum)} given: {name} needs {count}: usual is {usual}"
        )
    for value in momentum[:count]:
        if not 0 <= value < 1:
            raise UsageError(f"learn-momentum: {value}: give numbers from 0 to below 1")


def _spans(
    size: int, decay_size: int, factors: Mapping[int, Factors]
) -> Iterator[tuple[int, int, Factors]]:
    """Yield (start, stop, factors) of parts in which all decay, or none, with the same factors."""
    own = Factors()
    for start, stop in pairwise(sorted({0, decay_size, size, *factors})):
        own = factors.get(start, own)
        yield start, stop, own


def _chunks(start: int, stop: int) -> list[slice]:
    return [slice(low, min(low + CHUNK, stop)) for low in range(start, stop, CHUNK)]
