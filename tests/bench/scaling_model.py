"""How long a step of many ranks takes, by a latency-bandwidth model of its schedule of buckets.

Backward completes the buckets of gradients one by one (denet/multi/exchange.py). Each is summed in
parts over the ranks: N - 1 messages of n/N bytes to and from every other rank, then sums; the
network takes one bucket at a time, while backward goes on. When all have landed each rank updates
its part, and the weights are handed out. What a rank does itself (computing, summing, copying
within its machine) takes its own time and hides nothing; what the network between machines does
takes nobody's.

With a the latency of a message and b the seconds per byte of a link (Thakur, Rabenseifner, Gropp
2005, "Optimization of Collective Communication Operations in MPICH", Int. J. of High Performance
Computing Applications 19(1), sections 4.1 and 4.4):

    sum of parts, pairwise      (N - 1) a + (N - 1)/N n b
    gathering, by a ring        (N - 1) a + (N - 1)/N n b
    gathering, small, doubling  log2(N) a + (N - 1)/N n b

A machine of d devices has one way out, which they share. ``flat``: all ranks exchange with all.
``two levels``: the devices of a machine sum first, then each exchanges its n/d bytes with the
devices of the same number elsewhere: out of a machine go n bytes in the place of d n.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from denet.multi.exchange import MOST_FLYING


class Link(NamedTuple):
    """What a message costs: seconds for each, and seconds for each byte."""

    latency: float
    byte: float

    def faster(self, factor: float) -> Link:
        """Return a link of other bandwidth; the latency stays."""
        return Link(self.latency, self.byte / factor)

    def all_pairs(self, ranks: int, size: float) -> float:
        """Return the seconds of a sum of parts, or of a ring's gathering, of ``size`` bytes."""
        return (ranks - 1) * self.latency + (ranks - 1) / ranks * size * self.byte

    def doubling(self, ranks: int, size: float) -> float:
        """Return the seconds in which few bytes of each, ``size`` of all, come to all."""
        return log2(ranks) * self.latency + (ranks - 1) / ranks * size * self.byte


FREE = Link(0.0, 0.0)


class Work(NamedTuple):
    """A step of a network on one device, as measured; bytes and seconds.

    sizes, gaps   of the buckets in the order in which backward completes them: their bytes, and
                  the seconds since the one before was complete (of the first: since the step began)
    tail          from the last bucket to the end of backward
    update        of all weights
    states        bytes of running averages and flags, which each rank gathers from all
    spread        of the seconds of backward: standard deviation of their logarithm
    summing, within    of a bucket that is summed: copies and sums of each rank; to each other rank
    copying, handing   of weights that are handed out, likewise
    """

    sizes: Sequence[int]
    gaps: Sequence[float]
    tail: float
    update: float
    states: int
    spread: float
    summing: Link = FREE
    within: Link = FREE
    copying: Link = FREE
    handing: Link = FREE

    @property
    def compute(self) -> float:
        """Seconds of forward and backward."""
        return sum(self.gaps) + self.tail

    def with_messages(self, latency: float) -> Work:
        """Return the work where a message within a machine takes so many seconds at least."""
        links = {name: getattr(self, name) for name in ("within", "handing")}
        return self._replace(**{name: Link(latency, each.byte) for name, each in links.items()})

    def faster(self, factor: float) -> Work:
        """Return the work on a device that does all but sending small messages faster."""
        return self._replace(
            gaps=[gap / factor for gap in self.gaps],
            tail=self.tail / factor,
            update=self.update / factor,
            **{
                name: getattr(self, name).faster(factor)
                for name in ("summing", "within", "copying", "handing")
            },
        )


class Cluster(NamedTuple):
    """Ranks on machines of so many devices, each with one way out that its devices share."""

    ranks: int
    devices: int
    outer: Link = FREE
    two_level: bool = False

    @property
    def near(self) -> int:
        """Ranks of a machine."""
        return min(self.ranks, self.devices)

    @property
    def machines(self) -> int:
        return ceil(self.ranks / self.devices)

    def sent_out(self, size: float) -> float:
        """Return the bytes that leave a machine when ``size`` bytes of each rank are summed."""
        away = (self.ranks - self.near) / self.ranks * size
        return away if self.two_level else self.near * away


class Cost(NamedTuple):
    """Seconds of each rank itself, and of the network between machines."""

    own: float
    wire: float


def summed(work: Work, cluster: Cluster, size: float) -> Cost:
    """Return what it costs to sum a bucket of ``size`` bytes in parts."""
    near, machines = cluster.near, cluster.machines
    own = work.summing.latency + size * work.summing.byte
    carried = cluster.sent_out(size) * cluster.outer.byte
    if cluster.two_level and machines > 1:
        own += work.within.all_pairs(near, size) + size / near * work.summing.byte
        return Cost(own, (machines - 1) * cluster.outer.latency + carried)
    own += (near - 1) * work.within.latency
    own += (near - 1) / cluster.ranks * size * work.within.byte
    return Cost(own, (cluster.ranks - near) * cluster.outer.latency + carried)


def handed_out(work: Work, cluster: Cluster) -> float:
    """Return the seconds in which all have all weights; buckets travel together."""
    size, near, machines = sum(work.sizes), cluster.near, cluster.machines
    own = work.copying.latency + size * work.copying.byte
    if machines == 1:
        return own + work.handing.all_pairs(near, size)
    if cluster.two_level:
        within = work.handing.all_pairs(near, size)
        return own + within + cluster.outer.all_pairs(machines, size)
    slowest = Link(
        max(cluster.outer.latency, work.handing.latency),
        max(cluster.outer.byte, work.handing.byte),
    )
    return own + slowest.all_pairs(cluster.ranks, size)


def joined(work: Work, cluster: Cluster) -> float:
    """Return the seconds in which every rank gathers the states of all and adds them."""
    size, near = work.states * cluster.ranks, cluster.near
    within = work.handing.doubling(near, work.states * near) + size * work.summing.byte
    if cluster.machines == 1:
        return within
    shared = cluster.outer.byte if cluster.two_level else near * cluster.outer.byte
    outer = Link(cluster.outer.latency, shared).doubling(cluster.machines, size)
    return within + outer


def replay(work: Work, costs: Sequence[Cost], factors: np.ndarray) -> float:
    """Return when backward has ended and all buckets have landed on all ranks, seconds.

    ``factors`` (ranks,) is how much longer than the median each rank computes in this step.
    A bucket starts when all ranks have it complete and the network is free. No rank goes on while
    more than MOST_FLYING of its buckets are on their way.
    """
    now, landed = np.zeros(len(factors)), [0.0]
    for number, (gap, cost) in enumerate(zip(work.gaps, costs, strict=True), 1):
        now += gap * factors + cost.own
        landed.append(max(float(now.max()), landed[-1]) + cost.wire)
        if number > MOST_FLYING:
            now = np.maximum(now, landed[number - MOST_FLYING])
    return max(float((now + work.tail * factors).max()), landed[-1])


def simulate(work: Work, cluster: Cluster, spread: float, steps: int = 50, seed: int = 0) -> float:
    """Return the median seconds of so many steps.

    How long each rank computes in each is log-normal: ``spread`` is that of the logarithm.
    """
    rng = np.random.default_rng(seed)
    costs = [summed(work, cluster, size) for size in work.sizes]
    behind = work.update / cluster.ranks
    if cluster.ranks == 1:
        costs = [Cost(0.0, 0.0)] * len(costs)
    else:
        behind += handed_out(work, cluster) + joined(work, cluster)
    factors = np.exp(spread * rng.standard_normal((steps, cluster.ranks)))
    return float(np.median([replay(work, costs, each) for each in factors])) + behind


def fitted(points: Sequence[tuple[int, float, float]]) -> Link:
    """Return the link that explains (ranks, bytes, seconds) best, by relative squares.

    The seconds are those of ``Link.all_pairs``; neither number is negative.
    """
    ranks, size, seconds = np.array(points, float).T
    terms = np.stack([ranks - 1, (ranks - 1) / ranks * size], axis=1)
    return Link(*_relative(terms, seconds))


def fitted_alone(points: Sequence[tuple[float, float]]) -> Link:
    """Return the seconds of a call and of a byte that explain (bytes, seconds) best."""
    size, seconds = np.array(points, float).T
    return Link(*_relative(np.stack([np.ones_like(size), size], axis=1), seconds))


def _relative(terms: np.ndarray, seconds: np.ndarray) -> list[float]:
    weighted = terms / np.maximum(seconds, 1e-9)[:, None]
    scale = np.maximum(weighted.max(axis=0), 1e-30)  # bytes and messages differ by far
    return (nnls(weighted / scale, np.ones(len(seconds)))[0] / scale).tolist()
