"""One step of training: gradients of one or several batches, then an update of the weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from denet.dataset.loader import Batch
from denet.errors import DataError, UsageError
from denet.evaluate.plan_set import PlanSet
from denet.graph.cut import cut
from denet.graph.graph import Graph
from denet.graph.kernel import Backend, Total
from denet.graph.op.corner_cross_entropy import CornerCrossEntropy
from denet.graph.op.softmax_cross_entropy import SoftmaxCrossEntropy
from denet.graph.plan import Inputs, Plan
from denet.graph.recompute import Saving
from denet.memory import advice
from denet.model.model import Model
from denet.model.selection import layer_factors, layer_numbers
from denet.report.metrics import COST_PART
from denet.training.average import newest_share
from denet.training.settings import TrainSettings
from denet.training.solver import AVERAGE, Factors, Solver, make_solver

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """Costs of a batch by path, and (sum, number) of other metrics, which are means.

    The costs are times their factors: training minimises their sum. Where there are several, each
    has a column, counted by image. The ratios of the graph, in per cent, are the other columns.
    """

    costs: dict[str, float]
    columns: dict[str, tuple[float, float]]


class Learner:
    """The plans and the solver of a model in training.

    Batches may have up to ``batch_size`` images; ``saving`` says what is computed twice. Raises
    UsageError for settings that do not fit the network, OutOfMemoryError.

    ``exchange_seconds`` adds up how long it has waited for other ranks, where there are some.
    """

    exchange_seconds: float = 0.0

    def __init__(
        self,
        model: Model,
        batch_size: int,
        settings: TrainSettings,
        backend: Backend,
        precision: str,
        saving: Saving,
    ):
        self._model, self._settings, self._saving = model, settings, saving
        self._memory = backend.memory
        self._frozen = layer_numbers(model.layers, settings.skip_layer_updates)
        graph = self._graph(1)
        self._factors = {cost.name: cost.factor for cost in graph.costs}
        self._cost_columns = cost_columns(list(self._factors))
        self.columns = [*self._cost_columns.values(), *graph.ratios]
        ops = {node.outputs[0].name: node.op for node in graph.nodes}
        weights = {
            name: factor * getattr(ops[name], "factor", 1.0)
            for name, factor in self._factors.items()
        }
        # of the cost of corners, where there is one
        self.corner_factor = sum(
            weight for name, weight in weights.items() if isinstance(ops[name], CornerCrossEntropy)
        )
        self._check_costs(weights)
        self.factor = settings.batch_size_factor
        mend = advice(batch_size, self.factor)
        kind = backend, "train", precision
        self._plans = PlanSet(self._graph, batch_size, *kind, mend, saving.choice)
        self.plan = self._plans.full
        self.plan.load(model.values())
        self.solver = self._make_solver()
        # of the batches of one step, weighted
        self._sum = self._flat(self.plan.weights) if self.factor > 1 else None
        self._kept_states = self._flat(self.plan.states)
        # of the running statistics, as the solver keeps one of the weights
        averaged = AVERAGE in self.solver.kept
        self._state_average = self._flat(self.plan.states) if averaged else None

    @property
    def trained_count(self) -> int:
        """The number of parameters that are trained."""
        shapes = self._model.shapes()
        return sum(math.prod(shapes[path]) for path in self.plan.starts)

    def short_bytes(self, sample_num: int) -> int:
        """Return the bytes that the shorter last batch of so many samples takes, if any."""
        return self._plans.short_bytes(sample_num)

    def add(self, batch: Batch, share: float, last: bool = True) -> Callable[[], Measured]:
        """Run a batch forward and backward; return a call that tells what it was found to have.

        ``share`` is its part of the images of the step: the gradients of a step add up to that of
        all its images in one batch (but for batch normalisation, which sees one batch at a time).
        ``last`` is that of the step.
        """
        plan, count = self._plans[len(batch.data)], len(batch.data)
        self._run(plan, batch, share, last)
        for cost in plan.outputs.values():
            self._memory.mark_not_finite(cost.reshape(-1), self.solver.faults[:1])
        read = self._memory.read_later([*plan.outputs.values(), *plan.ratios.values()])

        def measured() -> Measured:
            found = dict(zip((*plan.outputs, *plan.ratios), read(), strict=True))
            costs = {path: factor * float(found[path]) for path, factor in self._factors.items()}
            columns: dict[str, tuple[float, float]] = {
                name: (costs[path] * count, count) for path, name in self._cost_columns.items()
            }
            for name in plan.ratios:
                part, whole = found[name]
                columns[name] = 100 * float(part), float(whole)
            return Measured(costs, columns)

        return measured

    def timings(self) -> dict[str, tuple[float, float]]:
        """Return (sum, number) of the columns that tell how the steps since the last call went."""
        return {}

    @property
    def is_whole(self) -> bool:
        """Whether all ranks have the same weights now: those to test and to save."""
        return True

    @property
    def kept(self) -> dict[str, Any]:
        """What is averaged over the steps and laid out as the weights are, by name."""
        return self.solver.kept

    @property
    def spare_bytes(self) -> int:
        """Bytes of what lies beside weights, gradients and what is kept."""
        return 0 if self._sum is None else int(self._sum.nbytes)

    def update(self, learn_rate: float, ends: bool = False) -> Callable[[], bool]:
        """Change the weights by the gradient of the batches that were added.

        They are whole behind the step that ``ends`` an epoch. Weights stay as they are where a cost
        was not finite. Returns a call that tells whether costs, weights and running averages are
        finite. (A network may go on with weights that are not: oneDNN's ReLU makes 0 of what is no
        number.)
        """
        self.solver.update(self.plan.weights, self._gradients, learn_rate)
        if self._sum is not None:
            self._memory.clear(self._sum)
        states = self.plan.states
        if self._state_average is not None:
            newest = newest_share(self.solver.iteration - 1)
            self._memory.blend(self._state_average, states, newest)
        self._memory.mark_not_finite(states, self.solver.faults[1:])
        read = self._memory.read_later([self.solver.faults])
        return lambda: not read()[0].any()

    @property
    def _gradients(self) -> Any:
        """What the weights follow."""
        return self.plan.gradients if self._sum is None else self._sum

    def _run(self, plan: Plan, batch: Batch, share: float, last: bool) -> None:
        """Run a batch, and add its gradients to those of the step."""
        plan.start(*_inputs(batch))
        self._accumulate(plan, share)

    def _accumulate(self, plan: Plan, share: float) -> None:
        if self._sum is not None:
            self._memory.add(self._sum, plan.gradients, share)

    def _pack_kept(self, values: Mapping[str, np.ndarray], flat: Any) -> None:
        """Write plain arrays by path to what the solver keeps."""
        self.plan.pack(values, flat)

    def _unpack_kept(self, flat: Any) -> dict[str, np.ndarray]:
        """Return plain arrays by path of what the solver keeps."""
        return self.plan.unpack(flat)

    def keep_states(self) -> None:
        """Remember the running averages as they are: batches change them before their step."""
        self._memory.copy(self.plan.states, self._kept_states)

    def restore_states(self) -> None:
        """Take the running averages back that were remembered last."""
        self._memory.copy(self._kept_states, self.plan.states)

    def first_not_finite(self, batch: Batch) -> str:
        """Say where a batch first comes upon a number that is not finite."""
        found = self._plans[len(batch.data)].first_not_finite(*_inputs(batch))
        if found is None:
            faulty = [n for n, v in self.plan.values().items() if not np.isfinite(v).all()]
            return f"not finite: {faulty[0]}" if faulty else "all numbers of the network are finite"
        node, what = found
        if what == "data":
            return "not finite: the images themselves"
        number = node.split(".")[0]
        layer = f'layer {number} "{self._model.token(int(number))}"' if number.isdigit() else node
        return f"first not finite: the {what} of {layer}"

    def values(self) -> dict[str, np.ndarray]:
        """Return copies of parameters and states as plain float32 arrays by name."""
        return self.plan.values()

    def averages(self) -> dict[str, np.ndarray]:
        """Return what is averaged over the steps as plain arrays, {average/path: array}."""
        found = {
            f"{average}/{path}": value
            for average, flat in self.kept.items()
            for path, value in self._unpack_kept(flat).items()
        }
        states = self._averaged_states().items()
        return found | {f"{AVERAGE}/{path}": value for path, value in states}

    def averaged(self) -> dict[str, np.ndarray]:
        """Return, by path, what the models to test and save hold in the place of the last values.

        Nothing where no average is kept.
        """
        if AVERAGE not in self.solver.kept:
            return {}
        return self._unpack_kept(self.solver.kept[AVERAGE]) | self._averaged_states()

    def _averaged_states(self) -> dict[str, np.ndarray]:
        """Return, by path, the average of the running statistics, if there is one."""
        flat = self._state_average
        return {} if flat is None else self.plan.unpack_states(flat)

    def restart(self) -> None:
        """Forget all steps: the weights are those of the model again."""
        self.plan.load(self._model.values())
        self.solver.restart()
        if self._state_average is not None:
            self._memory.clear(self._state_average)

    def resume(self, averages: Mapping[str, np.ndarray], iteration: int) -> None:
        """Take over what ``averages`` returned. Raises DataError if it is another network's."""
        own = self.averages()
        shapes = {name: value.shape for name, value in averages.items()}
        if shapes != {name: value.shape for name, value in own.items()}:
            raise DataError(
                "state: its averages do not fit the solver and the network: resume with the "
                "options that the run was started with"
            )
        for average, flat in self.kept.items():
            prefix = f"{average}/"
            values = {
                n.removeprefix(prefix): v for n, v in averages.items() if n.startswith(prefix)
            }
            self._pack_kept(values, flat)
        if self._state_average is not None:
            states = {path: averages[f"{AVERAGE}/{path}"] for path in self._averaged_states()}
            self.plan.pack_states(states, self._state_average)
        self.solver.iteration = iteration

    def _flat(self, like: Any) -> Any:
        return self._memory.allocate(like.nbytes).view(np.float32)

    def _graph(self, batch_size: int) -> Graph:
        """Return the network's graph with the costs weighted and the skipped layers frozen."""
        settings = self._settings
        graph = self._model.graph(batch_size, settings.label_smoothing, self._frozen)
        if self._saving.parts:
            cut(graph, self._saving.parts)
        smoothed = any(isinstance(node.op, SoftmaxCrossEntropy) for node in graph.nodes)
        if settings.label_smoothing and not smoothed:
            raise UsageError(
                f"--label-smoothing: {settings.label_smoothing:g}: only layer R smooths its "
                "target, which the network lacks: leave it out, or give 0"
            )
        layers = list(dict.fromkeys(_layer(cost.name) for cost in graph.costs))
        factors = settings.cost_factors or [1.0] * len(layers)
        if len(factors) != len(layers):
            raise UsageError(
                f"--cost-factors: {len(factors)} given: the network has {len(layers)} layers with "
                f"costs ({', '.join(layers)}): give one for each"
            )
        for cost in graph.costs:
            cost.factor = factors[layers.index(_layer(cost.name))]
        return graph

    def _check_costs(self, weights: Mapping[str, float]) -> None:
        """Warn of layers whose costs weigh nothing; raise UsageError if that is so of all."""
        if not any(weights.values()):
            raise UsageError(
                "all costs of the network have a factor of 0: nothing would be learned: give "
                "another in the layers or in --cost-factors"
            )
        weighed = {_layer(name) for name, weight in weights.items() if weight}
        for layer in dict.fromkeys(map(_layer, weights)):
            number = int(layer.partition(".")[0])
            if layer not in weighed and number not in self._frozen:
                log.warning(
                    'layer %d "%s": all of its costs have a factor of 0, its own or that of '
                    "--cost-factors: it does not learn to answer",
                    *(number, self._model.token(number)),
                )

    def _make_solver(
        self, parts: Sequence[slice] | None = None, total: Total | None = None
    ) -> Solver:
        settings = self._settings
        return make_solver(
            settings.solver,
            self.plan.weights.size,
            self.plan.decay_size,
            settings.learn_momentum,
            settings.learn_decay,
            self._memory,
            decay_all=settings.learn_decay_all,
            factors=self._solver_factors(),
            clip=settings.gradient_clip,
            average=settings.average == "ema",
            parts=parts,
            total=total,
        )

    def _solver_factors(self) -> dict[int, Factors]:
        """Return the factors of learn rate and decay, and momenta, where they change."""
        settings, plan = self._settings, self.plan
        layers = {start: int(path.split(".")[0]) for path, start in plan.starts.items()}
        decayed = {n for start, n in layers.items() if start < plan.decay_size}
        trained = set(layers.values())
        rates = self._layer_factors("layer_rates", trained)
        decays = self._layer_factors(
            "layer_decays", trained if settings.learn_decay_all else decayed
        )
        momenta = self._layer_factors("layer_momenta", trained)
        found: dict[int, Factors] = {}
        before = Factors()
        for start, number in layers.items():
            own = Factors(rates.get(number, 1.0), decays.get(number, 1.0), momenta.get(number))
            if own != before:
                found[start] = before = own
        return found

    def _layer_factors(self, name: str, concerned: Set[int]) -> dict[int, float]:
        """Return what the setting ``name`` says by layer; UsageError if none is ``concerned``."""
        words, option = getattr(self._settings, name), name.replace("_", "-")
        factors = layer_factors(self._model.layers, words, option)
        if factors and not factors.keys() & concerned:
            raise UsageError(
                f"--{option}: {' '.join(words)}: nothing of these layers is trained, or decays: "
                "name others, or leave it out"
            )
        return factors


def _inputs(batch: Batch) -> tuple[Inputs, np.ndarray]:
    """Return what a plan takes to run a batch."""
    return {"data": batch.data, **batch.targets}, batch.sample_keys


def cost_columns(paths: Sequence[str]) -> dict[str, str]:
    """Return {path: column of the metrics} of several costs, {} of one, whose total tells all.

    "13.denet-corner.corner" is cost_corner; costs of the same last name keep their whole path.
    """
    names = [path.rpartition(".")[2] for path in paths]
    short = {
        path: f"{COST_PART}{name if names.count(name) == 1 else path}"
        for path, name in zip(paths, names, strict=True)
    }
    return short if len(paths) > 1 else {}


def _layer(path: str) -> str:
    """Return the layer that a cost belongs to: "5.regression" of "5.regression.crossentropy"."""
    return ".".join(path.split(".")[:2])
