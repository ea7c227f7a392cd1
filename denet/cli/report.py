"""model-report: tell all about trainings in one page of HTML."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import denet
from denet.cli.command import Parser, run, tell
from denet.cli.options import (
    ENGINE,
    MAX_IMAGE_PIXELS,
    THREAD_NUM,
    Option,
    engine,
    open_images,
    option_names,
    refuse,
)
from denet.errors import DataError, UsageError
from denet.files import atomic_text, check_writable
from denet.kind import Flag
from denet.printable import counted, printable

if TYPE_CHECKING:
    from denet.dataset import Dataset
    from denet.model.model import Model
    from denet.report.run import Run, Setting
    from denet.training.checkpoint import RunFiles

log = logging.getLogger(__name__)

RUNS = Option(
    "runs",
    "what to tell of: the --output-prefix of a run, or a directory with runs in it; several stand "
    "side by side. --runs itself may be left out",
    count="+",
    metavar="RUN",
)
OUTPUT = Option(
    "output", "page to write, PREFIX_report.html of the first run if not given", metavar="FILE.html"
)


def parser() -> Parser:
    """Return the command line of model-report."""
    return Parser(
        "model-report",
        "Tell all about one training, or several side by side, in one page of HTML that needs "
        "nothing else: options, machine, data, curves, errors, pictures, files.",
        "model-report --output runs.html run/a run/b",
        {
            "input": (
                RUNS,
                Option(
                    "evaluate",
                    "test the best model anew on the test set of the run, and show the data; with "
                    "--no-evaluate the page tells what the files of the run hold, and no data and "
                    "no model is read",
                    Flag(),
                    True,
                ),
                replace(THREAD_NUM, default=0),
                MAX_IMAGE_PIXELS,
            ),
            "output": (OUTPUT, Option("overwrite", "replace an earlier page", Flag(), False)),
            "engine": ENGINE,
        },
        words="runs",
    )


def report(options: argparse.Namespace) -> int:
    """Write the page; print where it is."""
    from denet.report.run_page import runs_page
    from denet.training.run_record import find_runs

    built = parser()
    built.require(options, "runs")
    reading = option_names((THREAD_NUM, MAX_IMAGE_PIXELS, *ENGINE))
    why = "with --no-evaluate no data and no model is read: leave one of the two out"
    refuse(options, built.options, [(not options.evaluate, reading, why)])
    found = {each.prefix: each for path in options.runs for each in find_runs(path)}
    every = list(found.values())
    output = options.output or f"{every[0].prefix}_report.html"
    check_new(output, options.overwrite)
    runs = [tell_run(options, files, name) for files, name in zip(every, names(every), strict=True)]
    made = f"Made by model-report of denet {denet.__version__}, {time.strftime('%Y-%m-%d %H:%M')}"
    text = runs_page(runs, made)
    with atomic_text(output) as file:
        file.write(text)
    for each in runs:
        for note in each.notes:
            log.warning("%s: %s", each.name, note)
    tell(printable(output))
    return 0


def check_new(output: str, overwrite: bool) -> None:
    """Raise UsageError or DataError unless a page can be written that replaces nothing else."""
    if not output.lower().endswith((".html", ".htm")):
        raise UsageError(f"--output: {output}: end the name in .html")
    if os.path.lexists(output) and not overwrite:
        raise UsageError(f"--output: {output} is there already: give another, or --overwrite")
    check_writable(output)


def names(runs: Sequence[RunFiles]) -> list[str]:
    """Return a name for each run: the end of its prefix, as long as it takes to differ."""
    parts = [each.prefix.parts for each in runs]
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        found = [os.path.join(*each[-length:]) for each in parts]
        if len(set(found)) == len(found):
            break
    return found


def tell_run(options: argparse.Namespace, files: RunFiles, name: str) -> Run:
    """Return all that is known of a run; what cannot be read is noted in it."""
    from denet.training.run_record import noted, read_record

    log.info("%s: reading its files", files.prefix)
    told = read_record(files, name)
    values = None
    with noted(told):
        values = run_options(files, told)
    if values and options.evaluate:
        values.quiet, values.on_bad_data = options.quiet, "skip"
        values.thread_num = options.thread_num
        values.max_image_pixels = options.max_image_pixels
        with noted(told):
            look(options, values, files, told)
    return told


def run_options(files: RunFiles, told: Run) -> argparse.Namespace:
    """Return the options that a run was started with. Raises UsageError, DataError."""
    from denet.cli import train, train_multi
    from denet.training.checkpoint import SIGNATURES
    from denet.training.run_record import signature

    kinds = dict(zip(SIGNATURES, (train.parser, train_multi.parser), strict=True))
    kind = signature(files)
    if not kind:
        raise DataError(f"no options of a run: {files.options}: it is not there, or not of a run")
    built = kinds[kind]()
    values = Parser.parse(built, [f"--config={files.options}"])
    told.settings = [
        setting(option, getattr(values, option.key)) for option in built.options if option.recorded
    ]
    return values


def setting(option: Option, value: Any) -> Setting:
    """Return an option with its value as they would be typed."""
    from denet.report.run import Setting

    return Setting(option.name, typed(value), typed(option.default))


def typed(value: Any) -> str:
    """Return a value of an option in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(typed, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def look(
    options: argparse.Namespace, values: argparse.Namespace, files: RunFiles, told: Run
) -> None:
    """Add the data of a run, and what its best model makes of the test set. Raises DenetError."""
    from denet.cli.train_input import training_samples
    from denet.model.format import load_model
    from denet.predict.review import Engine, describe, evaluate
    from denet.training.run_record import model_file, noted
    from denet.training.tester import check_targets

    path, limit = model_file(files), options.max_image_pixels
    model = load_model(path)
    told.summary = summary(model)
    with noted(told):
        train_set = open_set(values, values.train, model, **training_samples(values))
        told.data.append(describe(train_set, f"Training set: {values.train}", limit))
        del train_set  # and the memory of its images
    title, dataset = test_set(values, model)
    told.data.append(describe(dataset, title, limit))
    check_targets(model, dataset)
    backend, precision = engine(options)
    with_what = Engine(backend, precision, values.batch_size, options.thread_num, limit)
    words = f"{path.name} on {title[0].lower()}{title[1:]}, by {backend.name} in {precision}"
    log.info("%s: testing %s", files.prefix, path.name)
    told.evaluation = evaluate(model, dataset, with_what, words)
    if dataset.bad:
        told.notes.append(f"test set: {counted(len(dataset.bad), 'damaged image')} left out")


def test_set(values: argparse.Namespace, model: Model) -> tuple[str, Dataset]:
    """Return the test set of a run and its title: --test, or what --val-split holds out.

    Raises UsageError, DataError.
    """
    from denet.cli.train_input import training_samples

    if values.test:
        extension = values.test_extension or values.extension
        return f"Test set: {values.test}", open_set(values, values.test, model, extension=extension)
    if not values.val_split:
        raise DataError("the run has no test set: nothing tells how good its model is")
    samples = training_samples(values)
    held_out = open_set(values, values.train, model, held_out=True, **samples)
    return f"Held out of {values.train}", held_out


def open_set(values: argparse.Namespace, path: str, model: Model, **settings: Any) -> Dataset:
    """Open a set as the run has opened it, for its model. Raises UsageError, DataError."""
    from denet.cli.train_input import is_divided

    if not path:
        raise DataError("the options of the run name no training set")
    return open_images(values, path, model, divided=is_divided(values), **settings)


def summary(model: Model) -> dict[str, Any]:
    """Return in words what a model is."""
    channels, height, width = model.input_shape
    return {
        "parameters": f"{model.parameter_count():,}",
        "input": f"{width}x{height}, {channels} channels",
        "classes": f"{len(model.class_labels):,}",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-report; return its exit code."""
    return run(parser(), report, arguments)
