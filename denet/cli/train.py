"""model-train: train a network on labelled images."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Container, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import Parser, log_to_file, run, tell
from denet.cli.options import (
    ENGINE,
    GENERAL,
    LAYER_OPTIONS,
    MEMORY_LIMIT,
    RECOMPUTE,
    engine,
    option_names,
    refuse,
    warn,
)
from denet.cli.pixels import check_training_words, subtract_mean
from denet.cli.train_input import (
    is_divided,
    keep_bad_data,
    model_and_training_set,
    open_held_out,
    open_test_set,
    settle_extension,
)
from denet.cli.train_options import DATA, LEARNING, NETWORK, OUTPUT
from denet.errors import UsageError, nearest_hint
from denet.printable import printable

if TYPE_CHECKING:
    from denet.dataset import Dataset
    from denet.model.model import Model
    from denet.training.settings import TrainSettings
    from denet.training.state import State
    from denet.training.team import Team
    from denet.training.trainer import Trainer

log = logging.getLogger(__name__)

DRY_STEPS = 2
DRY_SECONDS = 2.0  # of steps that are timed
GROUPS = {
    "network": NETWORK,
    "data": DATA,
    "learning": LEARNING,
    "output": OUTPUT,
    "engine": (*ENGINE, RECOMPUTE, MEMORY_LIMIT),
}
# what --skip-train has a use for
TESTING = {
    *("model", "train", "test", "extension", "test-extension", "thread-num", "on-bad-data"),
    *("max-image-pixels", "batch-size", "log-every", "output-prefix", "overwrite", "skip-train"),
    *(option.name for option in (*ENGINE, *GENERAL)),
    *("ranks", "hosts", "gpus", "timeout"),  # of model-train-multi
}
# options of which one takes the place of the other
RIVALS = (("epochs", "minutes"), ("recompute", "memory_limit"))


class TrainParser(Parser):
    """Takes the options of a run that is resumed from its PREFIX_run.yaml.

    They are kept as ``recorded`` beside those that hold now.
    """

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        values = super().parse(arguments)
        began = self._options_of_run(values.output_prefix) if values.resume else None
        values.recorded = super().parse(["--config", began]) if began else None
        typed = vars(self._parse(arguments, argparse.Namespace()))
        for rivals in RIVALS:
            self._choose(values, rivals, typed)
        if began and "backend" not in typed and os.environ.get("GPU"):
            values.backend = "auto"  # what was recorded computed on the CPU
        return values

    def _choose(
        self, values: argparse.Namespace, rivals: tuple[str, str], typed: Container[str]
    ) -> None:
        """Leave one of two options; those ``typed`` win over those of a file. Raises UsageError."""
        given = [name for name in rivals if name in typed]
        given = given or [name for name in rivals if name in values.typed]
        usual, other = rivals
        if len(given) == 2:
            word = other.replace("_", "-")
            raise UsageError(f"--{word}: together with --{usual}: choose one of the two")
        if given == [usual]:
            setattr(values, other, None)
        elif getattr(values, other):
            setattr(values, usual, None)

    def config_file(self, values: argparse.Namespace) -> str | None:
        if values.config or not values.resume:
            return super().config_file(values)
        return self._options_of_run(values.output_prefix)

    def _options_of_run(self, prefix: str) -> str | None:
        """Return the file of the options that a run was started with, None if there is none."""
        from denet.training.checkpoint import RunFiles

        files = RunFiles(prefix)
        if files.options.exists():
            return str(files.options)
        # in earlier versions the last run of a directory left its options here
        shared = files.directory / "run.yaml"
        if files.state.exists() and shared.exists():
            began = super().parse(["--config", str(shared)])
            if RunFiles(began.output_prefix).state.name == files.state.name:
                return str(shared)
        return None


def parser() -> Parser:
    """Return the command line of model-train."""
    return TrainParser(
        "model-train",
        "Train a network on labelled images.",
        "model-train --border-mode half --model-desc C[128,3] BN A P[2] C[256,3] BN A P.A R \\\n"
        "    --train CIFAR10/train --test CIFAR10/test --ext png --epochs 30 --output-prefix run/a",
        GROUPS,
    )


def train(
    options: argparse.Namespace,
    team: Team | None = None,
    opened: Callable[[Model], None] = lambda model: None,
    built: Parser | None = None,
) -> int:
    """Train, or with --skip-train only test; print where the results are.

    Of a ``team`` the rank that leads writes the files. ``opened`` is given the model before the
    first step. The command line that was ``built``, where it is not model-train's, tells what to
    keep of the options.
    """
    from denet.training.checkpoint import RunFiles

    built, leads = built or parser(), team is None or team.leads
    if options.skip_train:
        if options.resume:
            raise UsageError("--skip-train: together with --resume: choose one of the two")
        built.require(options, "model", "test")
        if leads:
            idle = [option for option in built.options if option.name not in TESTING]
            why = "--skip-train trains nothing"
            warn(options, idle, [(True, option_names(idle), why)])
        return test(options) if leads else 0
    trained = fit(options, team, opened, built)
    if leads and trained:
        tell(printable(str(RunFiles(trained.output_prefix).directory)))
    return 0


def fit(
    options: argparse.Namespace,
    team: Team | None = None,
    opened: Callable[[Model], None] = lambda model: None,
    built: Parser | None = None,
) -> TrainSettings | None:
    """Train, and return the settings that came to hold, None of a dry run; else as ``train``."""
    built, leads = built or parser(), team is None or team.leads
    if options.model and options.test and not (options.train or options.resume):
        raise UsageError(
            "--train is missing: give it, or --skip-train to only test --model on --test"
        )
    from denet.report.tensorboard import require_tensorboard
    from denet.training.checkpoint import RunFiles, optional, write_record, write_text

    if options.tensorboard:
        require_tensorboard()
    files = RunFiles(options.output_prefix)
    if options.resume and options.overwrite:
        raise UsageError("--resume: together with --overwrite: choose one of the two")
    if options.resume and options.dry_run:
        raise UsageError("--dry-run: it tries a new training: leave --resume out")
    if options.resume and not options.train:
        others = [path.stem for path in files.directory.glob("*.state") if path != files.state]
        raise UsageError(
            f"--resume: no run that tells its options: {options.config or files.options}: give "
            f"its --output-prefix{nearest_hint(files.prefix.name, others)}, or all its options"
        )
    built.require(options, "train")
    if not options.resume:  # the record of a run may hold what it never used
        check_used(options, built)
    state = files.read_state() if options.resume else None
    if options.dry_run:
        rehearse(options, team)
        return None
    files.check_writable()
    if not state:
        files.check_new(options.overwrite)  # before all data is read
    try:
        trainer, last_test = open_training(options, train_settings(options), state, team=team)
        opened(trainer.model)
        if leads and not trainer.is_finished:
            write_text(files.options, built.config_text(options) + versions())
        if leads:
            with optional(files.log):
                if not files.log.exists():
                    write_record(files.log, "")
                log_to_file(files.log)
    except KeyboardInterrupt:
        if not leads:
            pass
        elif state:
            log.warning("interrupted before any step: --resume goes on from %s", files.state)
        elif files.keep_start(built.config_text(options) + versions()):
            log.warning("interrupted before any step: --resume starts with %s", files.options)
        raise
    trainer.run()
    settings = trainer.settings
    del trainer  # and the memory of its plans
    if leads:
        models = RunFiles(settings.output_prefix, settings.model_suffix)
        best = f"; {models.best.name}, of the lowest test error" * models.best.exists()
        log.info("models: %s, the last%s", models.final(settings.epochs).name, best)
    if leads and last_test:
        test_at_end(options, settings, last_test)
    return settings


def check_used(options: argparse.Namespace, built: Parser) -> None:
    """Raise UsageError for options that would change nothing in a new training.

    Those of 2017 are told.
    """
    from denet.training.solver import SOLVERS

    both = "give both, or leave it out"
    rows = (
        (
            not (options.test or options.val_split),
            "test-epochs",
            "without --test or --val-split: give one, or leave it out",
        ),
        (not options.test, "test-extension", f"without --test: {both}"),
        (not options.learn_decay, "learn-decay-all layer-decays", f"without --learn-decay: {both}"),
    )
    refuse(options, built.options, rows)
    is_new = not options.model or (options.init_partial and "model_desc" in options.typed)
    why = "the network is that of --model"
    warn(options, built.options, [(not is_new, option_names(LAYER_OPTIONS), why)])
    check_training_words(options.extension)
    count = len(SOLVERS[options.solver].averages)
    if any(options.learn_momentum[count:]):
        given = len(options.learn_momentum)
        raise UsageError(
            f"--learn-momentum: {given} given: {options.solver} needs {count}: leave the others "
            "out, or choose another --solver"
        )


def rehearse(options: argparse.Namespace, team: Team | None = None) -> None:
    """Take a few steps, test and save as the real training would, in a directory that vanishes."""
    from denet.memory import bytes_text, peak_bytes
    from denet.training.checkpoint import RunFiles

    leads = team is None or team.leads
    nothing = nullcontext(Path(options.output_prefix))  # is what the others write
    with RunFiles(options.output_prefix).temporary() if leads else nothing as prefix:
        wanted = train_settings(options)
        settings = replace(wanted, output_prefix=str(prefix), epochs=1, minutes=None)
        trainer, _ = open_training(options, settings, None, DRY_STEPS, team)
        pace = trainer.measure(DRY_SECONDS)
        trainer.run()
    tested = options.test or options.val_split
    log.info(
        "dry run: %d steps, %sa save went well, %s of memory at most",
        *(DRY_STEPS, "a test and " if tested else "and ", bytes_text(peak_bytes())),
    )
    budget = wanted.minutes and 60 * wanted.minutes
    log.info("%s", pace.text(pace.epochs_within(budget) if budget else wanted.epochs))


def open_training(
    options: argparse.Namespace,
    settings: TrainSettings,
    state: State | None,
    most_steps: int | None = None,
    team: Team | None = None,
) -> tuple[Trainer, Dataset | None]:
    """Return the trainer that the options ask for, its model and data opened.

    With it comes the set to test when training has ended, if there is one.
    """
    from denet.backend.select import BACKENDS
    from denet.model.format import warn_of_loss
    from denet.training.team import ALONE
    from denet.training.tester import check_targets
    from denet.training.trainer import Trainer

    backend, precision = engine(options)
    options.precision = precision
    if backend.name in BACKENDS:  # a GPU is chosen anew each time, by GPU=N
        options.backend = backend.name
    if state:
        from denet.cli.train_resume import check_resumed

        check_resumed(options, state)
    model, train_set = model_and_training_set(options, state)
    subtract_mean(model, options.test_extension, settled=True)
    test_set = open_test_set(options, model) if options.test else None
    held_out = open_held_out(options, model) if options.val_split else None
    if test_set and is_divided(options) and {*train_set.names} & {*test_set.names}:
        log.warning(
            "%s: --test holds images of --train, and tells nothing of new ones: give others, "
            "split=0.8 behind the --extension of images with boxes, or --val-split 0.1",
            options.test,
        )
    chooser = held_out or test_set  # chooses the best model
    kind = settings, backend, precision, state, most_steps
    trainer = Trainer(model, train_set, chooser, *kind, team or ALONE)
    if held_out and test_set:
        check_targets(model, test_set)
    warn_of_loss(model, settings.output_prefix + settings.model_suffix)
    if team is None or team.leads:
        keep_bad_data(options, [*filter(None, [train_set, held_out, test_set])])
    return trainer, test_set if held_out else None


def test_at_end(options: argparse.Namespace, settings: TrainSettings, test_set: Dataset) -> None:
    """Test the last and the best model of a run on a set that has chosen neither."""
    from denet.model.format import load_model
    from denet.training.checkpoint import RunFiles, optional, write_text
    from denet.training.tester import Tester

    backend, precision = engine(options)
    files = RunFiles(settings.output_prefix, settings.model_suffix)
    for which, path in (("last", files.final(settings.epochs)), ("best", files.best)):
        if path.exists():
            tester = Tester(load_model(path), test_set, settings, backend, precision)
            result = tester.result()
            log.info(
                "--test, which no model was chosen by: %s model: error %.2f%%", which, result.error
            )
            with optional(files.tested(path)):
                write_text(files.tested(path), result.report)


def versions() -> str:
    """Return what computes here as comments of a YAML file."""
    from denet.backend.environment import environment

    rows = environment(gpu=bool(os.environ.get("GPU")))
    return "".join(f"# {name}: {what}\n" for name, what in rows)


def test(options: argparse.Namespace) -> int:
    """Print what a test of the model says, as training writes it."""
    from denet.model.format import load_model
    from denet.training.tester import Tester

    backend, precision = engine(options)
    model = load_model(options.model)
    settle_extension(options, model.layers)
    subtract_mean(model, options.test_extension or options.extension)
    test_set = open_test_set(options, model)
    tester = Tester(model, test_set, train_settings(options), backend, precision)
    tell(tester.result().report.rstrip())
    return 0


def train_settings(options: argparse.Namespace) -> TrainSettings:
    """Return what the trainer wants to know of the options."""
    from denet.training.settings import TrainSettings

    values = {
        each.name: getattr(options, each.name)
        for each in fields(TrainSettings)
        if hasattr(options, each.name)  # those of several ranks are another command's
    }
    if options.minutes:
        del values["epochs"]  # to be settled
    if options.memory_limit:
        del values["recompute"]  # likewise
    return TrainSettings(model_suffix=f".{options.model_format}", **values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-train; return its exit code."""
    return run(parser(), train, arguments)
