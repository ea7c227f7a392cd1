"""Update rules: how weights follow their gradients. What ops are to activations, rules are to them.

``step`` is the reference, in place on parts of flat float32 arrays, and what runs on a processor;
no element depends on another.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np


class Span(NamedTuple):
    """Elements of the flat arrays that are updated with the same factors.

    What the rule keeps of them begins at ``place`` of its averages: of weights that others update
    nothing is kept.
    """

    start: int
    stop: int
    place: int
    rate: float  # times the learn rate
    decay: float  # L2: g += decay * p
    momentum: tuple[float, ...]  # the rule's averaging factors, each in [0, 1)


class Chunk(NamedTuple):
    """What a rule works on: parts of the flat arrays, and scratch memory of the same length."""

    p: np.ndarray  # weights
    g: np.ndarray  # gradient
    averages: list[np.ndarray]
    scratch: np.ndarray  # (scratch_num, elements)
    decay: float
    learn_rate: float
    momentum: tuple[float, ...]
    iteration: int  # updates made before

    def decayed(self, out: np.ndarray) -> np.ndarray:
        """Return g + decay * p, in ``out``; ``g`` itself where nothing decays."""
        if not self.decay:
            return self.g
        np.multiply(self.p, self.decay, out=out)
        out += self.g
        return out


class Rule:
    """Base of all rules."""

    averages: ClassVar[tuple[str, ...]] = ()  # running averages that the rule keeps, by name
    scratch_num: ClassVar[int] = 1  # chunks of scratch memory

    def step(self, chunk: Chunk) -> None:
        """Change weights and averages of the chunk, leave its gradient alone."""
        raise AssertionError("abstract")


class GradientDescent(Rule):
    """p -= lr * g: what all with one momentum are without it, and no array to keep."""

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (t,) = chunk.p, chunk.scratch
        np.multiply(chunk.decayed(t), chunk.learn_rate, out=t)
        p -= t


class Sgd(Rule):
    """m = rho * m + (1 - rho) * g, rho = 0 at the first update; p -= lr * m.

    Damped, as DeNet (2017) has it: a step is no longer with momentum than without.
    """

    averages = ("momentum",)

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (m,), (t,) = chunk.p, chunk.averages, chunk.scratch
        rho = chunk.momentum[0] if chunk.iteration else 0.0
        m *= rho
        np.multiply(chunk.decayed(t), 1 - rho, out=t)
        m += t
        np.multiply(m, chunk.learn_rate, out=t)
        p -= t


class Momentum(Rule):
    """v = rho * v - lr * g; p += v: classical momentum, as Krizhevsky et al. 2012 (section 5)."""

    averages = ("momentum",)

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p, (v,), (t,) = chunk.p, chunk.averages, chunk.scratch
        np.multiply(chunk.decayed(t), chunk.learn_rate, out=t)
        v *= chunk.momentum[0]
        v -= t
        p += v


class Nesterov(Rule):
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


class Adam(Rule):
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
        t *= 1 / math.sqrt(1 - b2 ** (chunk.iteration + 1))
        t += self.epsilon
        np.divide(m, t, out=t)
        t *= chunk.learn_rate / (1 - b1 ** (chunk.iteration + 1))
        p -= t


class AdamW(Adam):
    """p *= 1 - lr * decay, then Adam without decay: Loshchilov and Hutter 2019, algorithm 2."""

    def step(self, chunk: Chunk) -> None:
        """Apply the rule to one chunk."""
        p = chunk.p
        if chunk.decay:
            p *= 1 - chunk.learn_rate * chunk.decay
        super().step(chunk._replace(decay=0.0))
