"""What a rank holds and receives in a step, its wide layers whole or split over the ranks.

    python tests/bench/shard.py --network vgg-d --ranks 4 --batch-size 64 --shard-above 1000000

Nothing is multiplied and no other rank is there: a learner of one rank makes its step with kernels
that do nothing but trade, on a wire whose other ends are silent, and tells what its plan, solver
and wire count. tests/multi/test_shard.py holds that against ranks that train.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from side_by_side import BORDERLESS, DESC, SIZE  # noqa: E402

from denet.backend.numpy.backend import NumpyBackend  # noqa: E402
from denet.backend.numpy.kernel import ReferenceKernel  # noqa: E402
from denet.dataset.loader import Batch  # noqa: E402
from denet.graph.graph import Node, Tensor  # noqa: E402
from denet.graph.kernel import Call, Kernel, Layout  # noqa: E402
from denet.graph.op.base import Run  # noqa: E402
from denet.graph.op.gather_rows import GatherRows  # noqa: E402
from denet.graph.op.scatter_columns import ScatterColumns  # noqa: E402
from denet.graph.recompute import Saving  # noqa: E402
from denet.layer.options import LayerOptions  # noqa: E402
from denet.model.model import Model, nameless  # noqa: E402
from denet.multi.learner import ParallelLearner  # noqa: E402
from denet.multi.wire import Wire  # noqa: E402
from denet.training.settings import TrainSettings  # noqa: E402


class Counts(NamedTuple):
    """Bytes of one rank: those that lie there, and what comes from other ranks in a step."""

    weights: int
    gradients: int
    solver: int
    received: int


class Silent:
    """A communicator of mpi4py whose other ranks send nothing, at once."""

    def __init__(self, rank: int, ranks: int):
        self._rank, self._ranks = rank, ranks

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return self._ranks

    def Test(self) -> bool:
        """Say that a request is done: it is its own."""
        return True

    def Irecv(self, received: Any, rank: int) -> Silent:
        received[0].fill(0)
        return self

    def Isend(self, sent: Any, rank: int) -> Silent:
        return self

    def Iallgatherv(self, sent: Any, received: Any) -> Silent:
        return self

    def Iallgather(self, sent: Any, received: Any) -> Silent:
        received.fill(0)
        return self


class SilentWire(Wire):
    """A wire to ranks that are all as this one."""

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.ranks


class IdleKernel(ReferenceKernel):
    """Computes nothing."""

    def forward(self, *arrays: Any) -> Call:
        return _nothing

    def backward(self, *arrays: Any) -> Call:
        return _nothing


class Traders(NumpyBackend):
    """A backend that does what ranks trade with each other, and nothing else."""

    def kernel(
        self,
        node: Node,
        training: bool,
        precision: str,
        run: Run,
        layouts: Mapping[Tensor, Layout],
        wanted: tuple[int, ...],
    ) -> Kernel:
        trades = isinstance(node.op, GatherRows | ScatterColumns)
        kind = ReferenceKernel if trades else IdleKernel
        return kind(node, training, precision, run, wanted, layouts)


def _nothing() -> None:
    pass


def count_step(model: Model, settings: TrainSettings, rank: int) -> Counts:
    """Return what one of ``settings.ranks`` ranks holds, and receives in a full step."""
    size, ranks = settings.batch_size, settings.ranks
    wire = SilentWire(Silent(rank, ranks))
    learner = ParallelLearner(
        wire, model, size, settings, Traders(), "f32", Saving(settings.recompute)
    )
    channels, height, width = model.input_shape
    batch = Batch(
        np.zeros((size, height, width, channels), np.float32),
        {"class_index": np.zeros(size, np.int32)},
        *(np.zeros(size, np.uint64), np.zeros(size, np.int64)),
        *(size, size * ranks),
    )
    learner.add(batch, 1 / ranks)
    learner.update(0.0)
    kept = sum(each.nbytes for each in learner.solver.kept.values())
    plan = learner.plan
    return Counts(plan.weights.nbytes, plan.gradients.nbytes, kept, wire.received)


def main() -> None:
    """Print a table: what the rank that has most has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="vgg-d", choices=DESC)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="images of each rank")
    parser.add_argument("--shard-above", type=int, default=1_000_000, help="parameters")
    asked = parser.parse_args()
    size, classes, _ = SIZE[asked.network]
    options = LayerOptions(border_mode="valid" if asked.network in BORDERLESS else "half")
    shape = 3, size, size
    model = Model.create(DESC[asked.network], shape, nameless(classes), options, seed=1)
    print(f"{asked.network}, {model.parameter_count():,} parameters, {asked.ranks} ranks, ", end="")
    print(f"{asked.batch_size} images each, MB (10^6 bytes):\n")
    print(f"| wide layers | {' | '.join(Counts._fields)} |\n|{'---|' * (1 + len(Counts._fields))}")
    for name, above in ("whole", None), (f"split above {asked.shard_above:,}", asked.shard_above):
        settings = TrainSettings(
            batch_size=asked.batch_size,
            ranks=asked.ranks,
            learn_momentum=(0.9, 0.0),
            shard_above=above,
        )
        ranks = [count_step(model, settings, rank) for rank in range(asked.ranks)]
        most = [max(column) / 1e6 for column in zip(*ranks, strict=True)]
        print(f"| {name} | " + " | ".join(f"{each:,.1f}" for each in most) + " |")


if __name__ == "__main__":
    main()
