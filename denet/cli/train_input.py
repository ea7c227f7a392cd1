"""What the options of a training name, opened: the model and the datasets."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from denet.cli.options import layer_options, open_images
from denet.cli.pixels import asks_for_mean, subtract_mean, warn_of_training_options
from denet.errors import DataError, UsageError
from denet.files import make_directory
from denet.printable import counted, printable

if TYPE_CHECKING:
    from pathlib import Path

    from denet.dataset import Dataset
    from denet.dataset.base import BadSample
    from denet.layer.base import Layer
    from denet.model.model import Model
    from denet.model.preprocessing import Preprocessing
    from denet.training.state import State

log = logging.getLogger(__name__)


def model_and_training_set(
    options: argparse.Namespace, state: State | None
) -> tuple[Model, Dataset]:
    """Return the model to train, read or new, and the training set opened for it."""
    from denet.model.format import load_model
    from denet.model.preprocessing import Preprocessing

    if state:
        check_layers(state.model.layers, options)
        settle_extension(options, state.model.layers)
        subtract_mean(state.model, options.extension, settled=True)
        return state.model, open_training_set(options, state.model)
    if not options.model:
        if options.init_partial:
            raise UsageError("--init-partial: without --model: give the model to take weights from")
        return new_model(options)
    if "model_desc" in options.typed and not options.init_partial:
        log.warning(
            "--model-desc is not used: the network is that of --model; --init-partial would take "
            "into a new network what fits"
        )
    if "model_desc" not in options.typed or not options.init_partial:
        options.model_desc = None  # the record must not name another network
    source = load_model(options.model)
    if options.model_desc is None:
        check_layers(source.layers, options)
        settle_extension(options, source.layers)
    subtract_mean(source, options.extension)
    agrees = options.normalise == "none" and source.preprocessing == Preprocessing()
    if options.normalise != "auto" and not agrees:
        log.warning(
            "--normalise %s is not used: the model normalises pixels by %s; model-modify "
            "--normalise changes that",
            options.normalise,
            source.preprocessing.text(),
        )
    if options.init_partial:
        return partial_model(options, source)
    return trained_model(options, source)


def new_model(options: argparse.Namespace, source: Model | None = None) -> tuple[Model, Dataset]:
    """Return a network of --model-desc with random weights, and the training set.

    With a ``source`` pixels are normalised as that has learned them.
    """
    from denet.model.desc import build_layers, parse_desc
    from denet.model.model import Model

    layers = layer_options(options)
    # what is wrong with the texts is told before data is read
    built = build_layers(parse_desc(options.model_desc), layers)
    check_layers(built, options)
    settle_extension(options, built)
    other = options.normalise != "auto" and not source
    if other and asks_for_mean(options.extension):
        raise UsageError(
            f"--normalise {options.normalise}: together with subtract_mean of --extension: leave "
            "one of them out"
        )
    train_set = open_training_set(options)
    if source:
        preprocessing = source.preprocessing.resized(source.input_shape, train_set.shape)
    else:
        preprocessing = new_preprocessing(options, train_set)
    model = Model.create(
        options.model_desc,
        train_set.shape,
        train_set.class_labels,
        layers,
        options.seed,
        preprocessing,
    )
    return model, train_set


def new_preprocessing(options: argparse.Namespace, train_set: Dataset) -> Preprocessing:
    """Return what --normalise makes of the pixels of a training set."""
    from denet.dataset.image.distort import parse_distortions
    from denet.dataset.mean_image import mean_image
    from denet.model.preprocessing import Preprocessing

    if options.normalise == "none":
        return Preprocessing()
    if options.normalise == "auto" and train_set.constants:
        return Preprocessing(*train_set.constants)
    if options.normalise in ("auto", "dataset"):
        return Preprocessing(*train_set.channel_statistics())
    distortions = parse_distortions(options.distort_mode)
    mirrors = train_set.mirrors or any(each.kind == "m" for each in distortions)
    found = mean_image(train_set, mirrors, options.thread_num, not options.quiet)
    preprocessing = Preprocessing((), found.std, found.image)
    log.info("pixels are normalised by %s", preprocessing.text())
    return preprocessing


def check_layers(layers: Sequence[Layer], options: argparse.Namespace) -> None:
    """Raise UsageError for a word of an option that names no layer."""
    from denet.model.selection import PER_LAYER, layer_factors, layer_numbers

    layer_numbers(layers, options.skip_layer_updates)
    for option in PER_LAYER:
        layer_factors(layers, getattr(options, option.replace("-", "_")), option)


def settle_extension(options: argparse.Namespace, layers: Sequence[Layer]) -> None:
    """Let a detector find out by itself how its images lie, unless --extension tells."""
    from denet.dataset.boxes.layouts import AUTO
    from denet.layer.denet_detect import DenetDetect

    if "extension" not in options.typed and isinstance(layers[-1], DenetDetect):
        options.extension = AUTO


def trained_model(options: argparse.Namespace, model: Model) -> tuple[Model, Dataset]:
    """Return the model of a file, its classes named after the training set if they have no name."""
    from denet.dataset.class_names import ForeignClassError
    from denet.evaluate.classifier import check_fit
    from denet.model.model import named

    if named(model.class_labels):
        try:
            return model, open_training_set(options, model)
        except ForeignClassError as error:
            raise DataError(f"{error}, or give the network these classes: --init-partial") from None
    train_set = open_training_set(options)
    if len(train_set.class_labels) == len(model.class_labels):
        model.class_labels = train_set.class_labels
    check_fit(model, train_set)  # before the test set is read
    return model, train_set


def partial_model(options: argparse.Namespace, source: Model) -> tuple[Model, Dataset]:
    """Return a network for the classes of the training set that holds what fits of ``source``.

    Pixels are normalised as ``source`` has learned them.
    """
    from denet.model import surgery
    from denet.model.transfer import transfer

    if options.model_desc is not None:
        model, train_set = new_model(options, source)
    else:
        train_set = open_training_set(options)
        _, height, width = train_set.shape
        model = surgery.set_class_num(source, train_set.class_labels, options.seed)
        model = surgery.set_image_size(model, width, height, options.seed)
    log.info("%s: %s", options.model, transfer(model, source).text())
    here, there = model.class_labels, source.class_labels
    if len(here) == len(there) and here != there:
        log.warning("its classes have other names: the last layer is taken by their position")
    return model, train_set


def open_training_set(options: argparse.Namespace, model: Model | None = None) -> Dataset:
    """Open --train but what is held out; with a model, for its classes and image shape."""
    return open_set(
        options, options.train, model, mirror=options.augment_mirror, **training_samples(options)
    )


def open_held_out(options: argparse.Namespace, model: Model) -> Dataset:
    """Open the share of --train that --val-split holds out, for a model's classes and shape.

    It lies in files of the training set: --extension holds, not --test-extension.
    """
    held_out = open_set(
        options,
        options.train,
        model,
        class_owner=class_owner(options),
        held_out=True,
        **training_samples(options),
    )
    log.info("held out of training, to test on: %s", counted(len(held_out), "image"))
    return held_out


def training_samples(options: argparse.Namespace) -> dict[str, Any]:
    """Return what tells the samples of --train that are trained on from those held out."""
    return {
        "training": True,
        "max_samples": options.max_samples,
        "val_split": options.val_split,
    }


def open_test_set(options: argparse.Namespace, model: Model) -> Dataset:
    """Open --test for a model's classes and image shape."""
    warn_of_training_options(options.test_extension, "test-extension")
    return open_set(
        options,
        options.test,
        model,
        class_owner=class_owner(options),
        extension=options.test_extension,
        option="test-extension" if options.test_extension else "extension",
    )


def class_owner(options: argparse.Namespace) -> str:
    """Return in words what has the classes that other sets than --train must have."""
    has_own_classes = options.model and not options.init_partial
    return "the model" if has_own_classes else "the training set"


def open_set(
    options: argparse.Namespace, path: str, model: Model | None = None, **settings: Any
) -> Dataset:
    """Open a dataset; with a model, one that has the model's classes and image shape.

    Under --on-bad-data error the files that cannot be read are listed in PREFIX_bad_data.txt.
    """
    from denet.dataset.base import BadDataError

    try:
        return open_images(options, path, model, divided=is_divided(options), **settings)
    except BadDataError as error:
        listed = write_bad_data(options, error.bad)
        more = f"; all of them are listed in {listed}" if listed else ""
        raise DataError(f"{error}{more}") from error


def is_divided(options: argparse.Namespace) -> bool:
    """Say whether --train and --test lead to one place, which need not be there."""
    both = options.train, options.test
    return all(both) and len({os.path.realpath(each) for each in both}) == 1


def keep_bad_data(options: argparse.Namespace, sets: Sequence[Dataset]) -> None:
    """Write what is left out of these datasets, now and whenever it grows."""

    def write() -> None:
        if bad := [each for dataset in sets for each in dataset.bad]:
            write_bad_data(options, bad)

    for dataset in sets:
        dataset.on_bad = write
    write()


def write_bad_data(options: argparse.Namespace, bad: Sequence[BadSample]) -> Path | None:
    """Write what cannot be used, one file and its reason per line; return where, if it could.

    What a run that is resumed has left out before stays.
    """
    from denet.training.checkpoint import RunFiles, is_taken, optional, write_record

    path = RunFiles(options.output_prefix).bad_data
    with optional(path):
        if is_taken(path) and not options.overwrite:
            raise DataError(f"{path} is there already and not of a run")
        make_directory(path.parent)
        lines = [f"{printable(name)}\t{reason}\n" for name, reason in bad]
        if options.resume and path.exists():
            with path.open(encoding="utf-8") as file:
                lines = [*file][1:] + lines
        write_record(path, "".join(dict.fromkeys(lines)))
        return path
    return None
