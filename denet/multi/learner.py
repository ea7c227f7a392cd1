"""Steps that several ranks make together: each has its batches, and updates its part of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise, starmap
from typing import Any

import numpy as np

from denet.dataset.loader import Batch, Share
from denet.graph.graph import Graph, Tensor
from denet.graph.kernel import Backend, Total
from denet.graph.op.shared_batch_norm import SumOverRanks
from denet.graph.plan import Plan
from denet.graph.recompute import Saving
from denet.graph.shard import shard
from denet.graph.share_statistics import share_statistics, without_images
from denet.model.model import Model
from denet.multi.exchange import Exchange, HostExchange, buckets
from denet.multi.nccl import NcclExchange, connect
from denet.multi.rank_learner import RankLearner
from denet.multi.rows import Rows
from denet.multi.wire import Wire
from denet.training.settings import TrainSettings
from denet.training.solver import Solver


class ParallelLearner(RankLearner):
    """A learner of one rank. What the solver keeps is that of the part which this rank updates.

    The gradients of a bucket leave as soon as backward has made them. A step ends with the weights,
    and the running averages, of all ranks the same. (Rajbhandari et al. 2020, arXiv 1910.02054,
    section 5.2: solver and gradients in parts.) Of layers that are split over the ranks each has
    its outputs' weights alone, all of their gradient at once, and exchanges neither.
    """

    _last, _share = False, 0.0  # of the batch in hand
    _sum_statistics: SumOverRanks  # likewise

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
        self._rows, self._most = Rows(wire), batch_size
        self._split: dict[str, Tensor] = {}  # parameters of which this rank has a part
        super().__init__(wire, model, batch_size, settings, backend, precision, saving)

    def update(self, learn_rate: float, ends: bool = False) -> Callable[[], bool]:
        self._exchange.finish()
        self._exchange.join(self.solver.faults, self.plan.states, self._weight)
        finite = super().update(learn_rate, ends)
        self._exchange.hand_out(self.plan.weights)
        self._count_time()
        return finite

    @property
    def waited_seconds(self) -> float:
        return super().waited_seconds + self._exchange.seconds

    def _run(self, plan: Plan, batch: Batch, share: float, last: bool) -> None:
        self._last, self._share = last, share
        self._rows.share = share
        shares = [Share(rank, self._wire.ranks) for rank in range(self._wire.ranks)]
        weights = [len(each.part(batch.total)) / batch.total for each in shares]
        # sums of several batches have their weights already
        self._exchange.weights = weights if self._sum is None else [1.0] * len(weights)
        # one that does not count is run only because the others run theirs
        self._sum_statistics = self._wire.sum if batch.counted else without_images(self._wire.sum)
        super()._run(plan, batch, share, last)
        self._weight = weights[self._wire.rank]

    def first_not_finite(self, batch: Batch) -> str:
        self._sum_statistics = _own  # the others do not look
        self._rows.alone = True
        return super().first_not_finite(batch)

    def _graph(self, batch_size: int) -> Graph:
        graph, settings = super()._graph(batch_size), self._settings
        if settings.shard_above is not None:
            graph = shard(graph, settings.shard_above, self._most, self._rows)
            self._split = {name: each for name, each in graph.parameters.items() if each.derive}
        if settings.sync_bn:
            graph = share_statistics(graph, lambda sums: self._sum_statistics(sums))
        return graph

    def _accumulate(self, plan: Plan, share: float) -> None:
        """Add what is this rank's alone; of the rest each bucket was added when it was complete."""
        if self._sum is not None:
            for part in self._apart:  # its rows have been weighted, see ScatterColumns
                self._memory.add(self._sum[part], plan.gradients[part], 1.0)

    def _complete(self, number: int) -> None:
        """Add a bucket of a batch's gradients to those of the step; send it with the last."""
        part = self._cut[number].part
        if self._sum is not None:
            self._memory.add(self._sum[part], self.plan.gradients[part], self._share)
        if self._last:
            self._exchange.send(number, self._gradients)

    def _make_solver(
        self, parts: Sequence[slice] | None = None, total: Total | None = None
    ) -> Solver:
        plan, ranks = self.plan, self._wire.ranks
        ends = [*plan.starts.values(), plan.weights.size]
        parts_of = dict(zip(plan.starts, starmap(slice, pairwise(ends)), strict=True))
        self._apart = [part for name, part in parts_of.items() if name in self._split]
        self._cut = buckets(plan.weights.size, plan.decay_size, ranks, self._apart)
        kind = self._memory, self._cut, self._settings.wire == "bf16"
        link = connect(self._wire, self._memory)
        self._exchange: Exchange = (
            NcclExchange(link, *kind) if link else HostExchange(self._wire, *kind)
        )
        for number, bucket in enumerate(self._cut):
            plan.watch(bucket.part, partial(self._complete, number))
        self._own = [*(bucket.own(self._wire.rank) for bucket in self._cut), *self._apart]
        return super()._make_solver(self._own, self._total)

    def _total(self, squares: float) -> float:
        return float(self._wire.sum(np.array([squares]))[0])

    def _pack_kept(self, values: Mapping[str, np.ndarray], flat: Any) -> None:
        everything = self._flat(self.plan.weights)
        self.plan.pack(self._cut_out(values), everything)
        for part, place in self._places():
            self._memory.copy(everything[part], flat[place])

    def _unpack_kept(self, flat: Any) -> dict[str, np.ndarray]:
        everything = self._flat(self.plan.weights)
        for part, place in self._places():
            self._memory.copy(flat[place], everything[part])
        self._exchange.hand_out(everything)
        return self._whole(self.plan.unpack(everything))

    def values(self) -> dict[str, np.ndarray]:
        return self._whole(super().values())

    def _cut_out(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return values by path with this rank's part of what ranks have parts of."""
        cut = ((name, each.derive) for name, each in self._split.items() if name in values)
        return {**values, **{name: derive(values) for name, derive in cut if derive}}

    def _whole(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return values by path, all ranks the same, for what each rank has of them."""
        lengths = {name: shape[0] for name, shape in self._model.shapes().items() if shape}
        split = [name for name in self._split if name in values]
        return values | {name: self._rows.whole(values[name], lengths[name]) for name in split}

    def _places(self) -> list[tuple[slice, slice]]:
        """Return (elements of flat arrays, elements of what the solver keeps)."""
        ends = np.cumsum([0, *(part.stop - part.start for part in self._own)]).tolist()
        return [(part, slice(*ends[i : i + 2])) for i, part in enumerate(self._own)]


def _own(sums: np.ndarray) -> np.ndarray:
    return sums
