"""The options of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from denet.dataset.image.distort import parse_distortions
from denet.errors import UsageError, nearest_hint
from denet.model.format.record import Record
from denet.training.average import AVERAGES
from denet.training.schedule import Schedule
from denet.training.solver import check_solver

# what tells where a run leaves its files and how fast it is, but does not change its model
OF_THE_RUN = {
    "minutes",
    "output_prefix",
    "model_suffix",
    "overwrite",
    "disable_intermediate",
    "test_epochs",
    "thread_num",
    "model_save_dt",
    "log_every",
    "tensorboard",
    "recompute",
    "memory_limit",
    "shard_above",
}
# what a resumed run cannot change: the order of the images, and what the solver averages
OF_THE_STATE = ("seed", "solver", "outer_solver", "average", "skip_layer_updates")
OUTER_SOLVERS = ("momentum", "nesterov")
# how ``TrainSettings.record`` is read back, by the type of a field
READERS: dict[str, Callable[[Record, str], Any]] = {
    "bool": Record.flag,
    "int": Record.integer,
    "float": Record.number,
    "str": Record.text,
    "Sequence[int]": Record.integers,
    "Sequence[float]": Record.numbers,
    "Sequence[str]": lambda record, name: tuple(record.texts(name)),
}


@dataclass(frozen=True)
class TrainSettings:
    """How to train; the model and the data are given apart. Epochs and layers count from 1.

    output_prefix, model_suffix, overwrite      files of the run, see RunFiles
    disable_intermediate                        save no model but the best and the final one
    epochs, batch_size                          the last batch of an epoch may be shorter
    minutes                                     choose the epochs of a new run so that it takes
                                                about so long; None = epochs as they are
    batch_size_factor                           batches whose gradients make one step
    ranks                                       processes whose batches make one step
    test_epochs                                 test after every so many epochs, and at the end
    solver, learn_momentum, learn_decay         see solver.py
    learn_decay_all                             L2 decay of biases and scales too
    layer_rates, layer_decays                   factors of learn_rate and learn_decay for some
                                                layers, F=0.5, see denet.model.selection
    layer_momenta                               momenta of some layers, likewise, in the place of
                                                the first of learn_momentum
    average                                     ema: the models that are tested and saved hold the
                                                moving average of average.py; none: the last weights
    gradient_clip                               largest global norm of the gradient, 0 = no limit
    local_steps                                 steps that each rank makes alone before all are
                                                brought together; 0 = ranks make them together
    outer_solver, outer_momentum, outer_rate    how that moves the weights, see
                                                denet/multi/local_learner.py
    wire                                        f32 or bf16: as what gradients travel between ranks
    sync_bn                                     normalise batches by the statistics of all ranks
    shard_above                                 split fully connected and class layers with more
                                                parameters than this over the ranks, by outputs;
                                                None = each rank has all of them
    learn_rate ... learn_warmup                 see schedule.py
    label_smoothing                             share of the target spread over all classes
    cost_factors                                one per cost of the network, none = all 1
    skip_layer_updates                          layers whose parameters stay as they are, see
                                                denet.model.selection
    distort_mode                                random distortions of training images: o4, m50, ...
    seed                                        of order, distortions and dropout
    thread_num                                  threads that prepare batches
    model_save_dt                               minutes between two saves of the state within an
                                                epoch, 0 = only after each epoch
    log_every                                   seconds between two log lines within an epoch
    tensorboard                                 write the metrics as TensorBoard events too
    recompute                                   what is computed twice to need less memory, see
                                                denet/graph/recompute.py
    memory_limit                                bytes of the whole training, about, which that is
                                                chosen for; None = as ``recompute`` says
    """

    output_prefix: str = "./model"
    model_suffix: str = ".mdl"
    overwrite: bool = False
    disable_intermediate: bool = False
    epochs: int = 30
    minutes: float | None = None
    batch_size: int = 32
    batch_size_factor: int = 1
    ranks: int = 1
    test_epochs: int = 1
    solver: str = "nesterov"
    learn_momentum: Sequence[float] = (0.0, 0.0)
    learn_decay: float = 0.0
    learn_decay_all: bool = False
    layer_rates: Sequence[str] = ()
    layer_decays: Sequence[str] = ()
    layer_momenta: Sequence[str] = ()
    average: str = "none"
    gradient_clip: float = 0.0
    local_steps: int = 0
    outer_solver: str = "momentum"
    outer_momentum: float = 0.0
    outer_rate: float = 1.0
    wire: str = "f32"
    sync_bn: bool = False
    shard_above: int | None = None
    learn_rate: float = 0.1
    learn_anneal: float = 1.0
    learn_anneal_epochs: Sequence[int] = ()
    learn_cosine: bool = False
    learn_warmup: float = 0.0
    label_smoothing: float = 0.0
    cost_factors: Sequence[float] = ()
    skip_layer_updates: Sequence[str] = ()
    distort_mode: Sequence[str] = ()
    seed: int = 23455
    thread_num: int = 1
    model_save_dt: float = 30.0
    log_every: float = 60.0
    tensorboard: bool = False
    recompute: str = "segments"
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        for option in ("epochs", "batch_size", "batch_size_factor", "test_epochs"):
            if getattr(self, option) < 1:
                name = option.replace("_", "-")
                raise UsageError(f"--{name}: {getattr(self, option)}: give at least 1")
        if self.minutes is not None:
            self._check_minutes()
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"--label-smoothing: {self.label_smoothing}: give 0 to below 1")
        if self.shard_above is not None and self.shard_above < 0:
            raise UsageError(f"--shard-above: {self.shard_above}: give 0 or more")
        if self.memory_limit is not None and self.recompute != "segments":
            raise UsageError("--memory-limit: together with --recompute: choose one of the two")
        if self.average not in AVERAGES:
            raise UsageError(f"--average: {self.average!r}: use one of {', '.join(AVERAGES)}")
        self._check_rounds()
        self.schedule()
        check_solver(self.solver, self.learn_momentum, self.learn_decay, self.gradient_clip)
        parse_distortions(self.distort_mode)

    def _check_minutes(self) -> None:
        assert self.minutes is not None
        if not 0 < self.minutes < math.inf:
            raise UsageError(f"--minutes: {self.minutes}: give a positive number")
        if self.learn_anneal_epochs:
            raise UsageError(
                "--learn-anneal-epochs: together with --minutes: nobody knows yet how many epochs "
                "there will be: give --learn-cosine, or --epochs"
            )

    def _check_rounds(self) -> None:
        if self.local_steps < 0:
            raise UsageError(f"--local-steps: {self.local_steps}: give 0 or a positive number")
        together = {
            "--wire": self.wire != "f32",
            "--sync-bn": self.sync_bn,
            "--shard-above": self.shard_above is not None,
        }
        for name, given in together.items():
            if self.local_steps and given:
                raise UsageError(f"{name}: together with --local-steps: leave one of them out")
        if self.outer_solver not in OUTER_SOLVERS:
            known = ", ".join(OUTER_SOLVERS)
            hint = nearest_hint(self.outer_solver, list(OUTER_SOLVERS))
            raise UsageError(f"--outer-solver: {self.outer_solver!r}{hint}: use one of {known}")
        if not 0 <= self.outer_momentum < 1:
            raise UsageError(f"--outer-momentum: {self.outer_momentum}: give 0 to below 1")
        if not 0 < self.outer_rate < math.inf:
            raise UsageError(f"--outer-rate: {self.outer_rate}: give a positive number")
        if self.outer_solver == "nesterov" and not self.outer_momentum:
            raise UsageError("--outer-solver: nesterov without --outer-momentum: usual is 0.9")
        if not self.local_steps and (self.outer_momentum or self.outer_rate != 1):
            name = "momentum" if self.outer_momentum else "rate"
            raise UsageError(f"--outer-{name}: without --local-steps: give both, or none")

    @property
    def step_images(self) -> int:
        """Images of a full step."""
        return self.batch_size * self.batch_size_factor * self.ranks

    def schedule(self) -> Schedule:
        """Return the learn rate's course; raise UsageError where it makes no sense."""
        return Schedule(
            self.learn_rate,
            self.epochs,
            self.learn_anneal,
            self.learn_anneal_epochs,
            self.learn_cosine,
            self.learn_warmup,
        )

    @classmethod
    def read(cls, record: Record) -> TrainSettings:
        """Return what ``record`` made a record of; raise DataError where it cannot have done so.

        What an earlier version did not know has its default.
        """
        values: dict[str, Any] = {
            each.name: READERS[str(each.type)](record, each.name)
            for each in fields(cls)
            if each.name in record and each.name not in OF_THE_RUN
        }
        try:
            return cls(**values)
        except UsageError as error:
            raise record.fault(str(error)) from None

    def record(self) -> dict[str, Any]:
        """Return the options that a trained model depends on, as JSON values."""
        return {
            name: list(value) if isinstance(value, list | tuple) else value
            for name, value in asdict(self).items()
            if name not in OF_THE_RUN
        }
