"""What one rank measures for scaling.py; rank 0 prints one JSON object.

    mpiexec -n 2 python tests/bench/scaling_rank.py --network r34

Every round makes a step, then each of its parts alone: forward and backward of a learner that
exchanges nothing, with the times at which buckets of gradients were complete; its update, of all
weights; exchanges of several sizes, the last of all weights, with the others and by itself alone.
Rank r runs on core r modulo the cores there are. With ``--clock processor`` the processor time of
ranks is measured, for a machine that has other work: no waiting is in it. (``waited`` is what
Exchange counts, by the wall.)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from bench.side_by_side import DESC  # noqa: E402

from denet.backend.select import choose_backend  # noqa: E402
from denet.dataset.loader import Batch  # noqa: E402
from denet.graph.recompute import LADDER  # noqa: E402
from denet.layer.options import LayerOptions  # noqa: E402
from denet.model.model import Model  # noqa: E402
from denet.multi.exchange import BUCKET, HostExchange, buckets  # noqa: E402
from denet.multi.team import MpiTeam  # noqa: E402
from denet.multi.wire import Wire  # noqa: E402
from denet.training.learner import Learner  # noqa: E402
from denet.training.settings import TrainSettings  # noqa: E402

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
# text, pixels, classes, images of a rank
NETWORKS = {
    "r34": (DESC["r34"], 128, 1000, 16),
    "cifar": (DESC["cifar"], 32, 10, 32),
    "tiny": ("C[256,3] BN A C[512,3] BN A P.A R", 8, 10, 8),
}
SIZES = (1 << 10, BUCKET)  # elements of the exchanges that are measured alone
WARM_UP = 2  # rounds


class Rank:
    """One of the ranks, its steps, and their parts."""

    def __init__(self, world: Any, network: str, clock: str):
        from mpi4py import MPI

        self.team, self._clock = MpiTeam(world), CLOCKS[clock]
        self.ranks = self.team.share.ranks
        text, pixels, class_num, images = NETWORKS[network]
        labels = [str(number) for number in range(class_num)]
        model = Model.create(text, (3, pixels, pixels), labels, LayerOptions(border_mode="half"))
        settings = TrainSettings(batch_size=images, ranks=self.ranks, learn_momentum=(0.9,))
        backend = choose_backend()
        kind = model, images, settings, backend, "f32", LADDER[0]
        self._learner, self._alone = self.team.learner(*kind), Learner(*kind)
        self._memory, plan = backend.memory, self._alone.plan
        self._cut = buckets(plan.weights.size, plan.decay_size, self.ranks)
        self._marks: list[tuple[int, float]] = []  # (bucket, when it was complete) of one backward
        for number, bucket in enumerate(self._cut):
            plan.watch(bucket.part, partial(self._mark, number))
        self._batch = _batch(pixels, class_num, images, self.ranks)
        self._wires = [("", Wire(world.Dup())), ("_alone", Wire(MPI.COMM_SELF))]
        self.facts = {
            "images": images * self.ranks,
            "parameters": plan.weights.size,
            "state_bytes": 4 * (plan.states.size + 2),
        }

    def round(self) -> dict[str, float]:
        """Make a step and its parts; return the seconds of each."""
        found: dict[str, float] = {}
        for _ in range(2):  # as in training a step comes behind another, the second counts
            waited = self._waited()
            found["step"] = self._timed(self._step)
            found["waited"] = self._waited() - waited
        for _ in range(2):
            self._marks = []
            found["compute"] = self._timed(lambda: self._alone.add(self._batch, 1.0)())
            for number, moment in self._marks:
                found[f"complete {number}"] = moment - self._begin
            found["update"] = self._timed(lambda: self._alone.update(1e-9)())
        if self.ranks > 1:
            of_all = self._learner.solver.faults, self._learner.plan.states, 1 / self.ranks
            found["join"] = self._timed(partial(self._learner._exchange.join, *of_all))
        for size in (*SIZES, self.facts["parameters"]):
            values = self._alone.plan.weights[:size].copy()
            for name, wire in self._wires:
                found[f"hand_out{name} {size}"] = self._timed(self._hand_out(wire, values))
                found[f"exchange{name} {size}"] = self._timed(self._sum(wire, values))
        return found

    def bucket_sizes(self) -> list[int]:
        """Return the bytes of the buckets, in the order in which they were completed last."""
        parts = [self._cut[number].part for number, _ in self._marks]
        return [4 * (part.stop - part.start) for part in parts]

    def _mark(self, number: int) -> None:
        self._marks.append((number, self._clock()))

    def _waited(self) -> float:
        return getattr(self._learner, "exchange_seconds", 0.0)

    def _step(self) -> None:
        self._learner.add(self._batch, 1.0 / self.ranks)()
        self._learner.update(1e-9)()

    def _exchange(self, wire: Any, size: int) -> HostExchange:
        """Return an exchange of one bucket, or of all where ``size`` is that of all weights."""
        whole = size == self.facts["parameters"]
        cut = buckets(size, self._alone.plan.decay_size * whole, wire.ranks)
        exchange = HostExchange(wire, self._memory, cut, as_bf16=False)
        exchange.weights = [1.0] * wire.ranks
        return exchange

    def _sum(self, wire: Any, values: Any) -> Callable[[], None]:
        exchange = self._exchange(wire, values.size)

        def call() -> None:
            for number in range(len(exchange._cut)):
                exchange.send(number, values)
            exchange.finish()

        return call

    def _hand_out(self, wire: Any, values: Any) -> Callable[[], None]:
        return partial(self._exchange(wire, values.size).hand_out, values)

    def _timed(self, call: Callable[[], object]) -> float:
        """Return the seconds of a call that all ranks begin together."""
        self.team.sum(np.zeros(1))
        self._begin = self._clock()
        call()
        return self._clock() - self._begin


def _batch(pixels: int, class_num: int, images: int, ranks: int) -> Batch:
    rng = np.random.default_rng(0)
    return Batch(
        rng.standard_normal((images, pixels, pixels, 3), np.float32),
        {"class_index": rng.integers(class_num, size=images, dtype=np.int32)},
        np.arange(images, dtype=np.uint64),
        np.arange(images),
        images,
        images * ranks,
    )


def summary(rounds: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Return medians over ``rounds`` (of each rank), of the slowest rank where all wait for it."""
    seconds = {
        name: np.array([[each[name] for each in own] for own in rounds]) for name in rounds[0][0]
    }
    found: dict[str, Any] = defaultdict(list)
    for name, values in seconds.items():
        kind, _, place = name.partition(" ")
        mean = kind in ("compute", "update", "complete", "waited") or kind.endswith("_alone")
        middle = float(np.median(values if mean else values.max(axis=0)))
        if kind == "complete":
            found[kind].append(middle)
        elif place:
            found[kind].append([4 * int(place), middle])
        else:
            found[kind] = middle
    logarithms = np.log(seconds["compute"])
    deviation = np.abs(logarithms - np.median(logarithms))
    found["spread"] = float(1.4826 * np.median(deviation))  # of a normal distribution
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="r34")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    given = parser.parse_args()
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[world.rank % len(cores)]})
    rank = Rank(world, given.network, given.clock)
    rounds = [rank.round() for _ in range(WARM_UP + given.rounds)][WARM_UP:]
    everything = rank.team.gather(rounds)
    if rank.team.leads:
        facts = {"network": given.network, "ranks": rank.ranks, "cores": len(cores)}
        facts |= {"clock": given.clock, "bytes": rank.bucket_sizes(), **rank.facts}
        found = facts | summary(everything)
        found["images_per_second"] = rank.facts["images"] / found["step"]
        print(json.dumps(found))


if __name__ == "__main__":
    main()
