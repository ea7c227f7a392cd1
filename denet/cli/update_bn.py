"""model-update-bn: take the statistics of batch normalisation anew."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace

from denet.cli.command import Parser, run
from denet.cli.options import (
    COUNT,
    ENGINE,
    EXTENSION,
    MAX_IMAGE_PIXELS,
    ON_BAD_DATA,
    THREAD_NUM,
    Option,
    engine,
    open_images,
)
from denet.cli.pixels import subtract_mean
from denet.printable import counted

log = logging.getLogger(__name__)

FILES = (
    Option("model", "model file to read", metavar="FILE"),
    Option("output", "model file to write: .mdl, or .mdl.gz as in 2017", metavar="FILE"),
)
DATA = (
    Option("input", "training set, as --train of model-train", metavar="PATH"),
    EXTENSION,
    Option("max-samples", "use at most N samples, chosen at random", COUNT, metavar="N"),
    Option("batch-size", "images whose statistics are taken together", COUNT, 128, metavar="N"),
    replace(THREAD_NUM, default=4),
    ON_BAD_DATA,
    MAX_IMAGE_PIXELS,
)


def parser() -> Parser:
    """Return the command line of model-update-bn."""
    return Parser(
        "model-update-bn",
        "Set the running mean and variance of every batch normalisation to the mean over the "
        "batches of a training set. All weights stay. Worth it after weights were averaged, "
        "changed or taken from elsewhere, and before a model is tested that was trained on small "
        "batches.",
        "model-update-bn --model a.mdl --output b.mdl --input photos/train --extension jpg,crop=64",
        {"files": FILES, "data": DATA, "engine": ENGINE},
    )


def update(options: argparse.Namespace) -> int:
    """Read the model, go once through the images, write the model."""
    from denet.model.format import load_model, model_suffix, save_model, warn_of_loss
    from denet.training.update_bn import check_updatable, update_bn

    parser().require(options, "model", "output", "input")
    model_suffix(options.output)
    backend, precision = engine(options)
    model = load_model(options.model)
    subtract_mean(model, options.extension)
    check_updatable(model)
    images = open_images(options, options.input, model, max_samples=options.max_samples)
    count = update_bn(
        model,
        images,
        backend,
        precision,
        batch_size=options.batch_size,
        thread_num=options.thread_num,
        seed=options.seed,
    )
    save_model(model, options.output)
    warn_of_loss(model, options.output)
    log.info(
        "%s: statistics of %s over %s",
        *(options.output, counted(count, "batch normalisation"), counted(len(images), "image")),
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-update-bn; return its exit code."""
    return run(parser(), update, arguments)
