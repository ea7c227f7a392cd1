"""model-train: train a network on labelled images."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from denet.cli.command import Parser, log_to_file, run
from denet.cli.options import (
    BELOW_ONE,
    COUNT,
    ENGINE,
    EXTENSION,
    LAYER_OPTIONS,
    MODEL_DESC,
    NOT_NEGATIVE,
    POSITIVE,
    THREAD_NUM,
    Option,
    engine,
    layer_options,
)
from denet.layer.kind import Choice, Flag

if TYPE_CHECKING:
    from denet.dataset import Dataset
    from denet.model.model import Model
    from denet.train.settings import TrainSettings

log = logging.getLogger(__name__)

NETWORK = (
    Option(
        "model",
        "model file to go on from, instead of --model-desc; for other classes give it their number "
        "with model-modify --class-num first",
        metavar="FILE",
    ),
    MODEL_DESC,
    *LAYER_OPTIONS,
    Option(
        "normalise",
        "pixels the network sees: dataset gives each channel mean 0 and deviation 1 over the "
        "training set, none leaves 0 to 1",
        Choice(("dataset", "none")),
        "dataset",
    ),
)
DATA = (
    Option(
        "train",
        "training set: directory of class directories, or NAME of arrays NAME_data.npy and "
        "NAME_labels.npy",
        metavar="PATH",
    ),
    Option("test", "test set", metavar="PATH"),
    replace(EXTENSION, default="ppm"),
    Option("max-samples", "train on at most N samples, chosen at random", COUNT, metavar="N"),
    Option("augment-mirror", "append a mirrored copy of every training image", Flag(), False),
    Option(
        "distort-mode",
        "random distortions of training images: oN offset in pixels, sN scale in %, rN rotation "
        "in degrees, mN mirror in % of images",
        default=[],
        count="*",
        metavar="MODE",
    ),
    THREAD_NUM,
)
LEARNING = (
    Option("epochs", "passes over the training set", COUNT, 30, metavar="N"),
    Option("batch-size", "images per step", COUNT, 32, metavar="N"),
    Option(
        "solver",
        "update rule of the weights",
        Choice(("sgd", "nesterov", "torch", "adam", "adamw")),
        "nesterov",
    ),
    Option("learn-rate", "size of the steps at the start", POSITIVE, 0.1),
    Option(
        "learn-momentum",
        "momentum, usually 0.9, or the two of adam, usually 0.9 0.999",
        BELOW_ONE,
        [0.0, 0.0],
        "+",
    ),
    Option(
        "learn-anneal", "factor of the learn rate after an epoch", POSITIVE, 1.0, metavar="FACTOR"
    ),
    Option(
        "learn-anneal-epochs", "epochs after which to anneal, none for every one", COUNT, [], "*"
    ),
    Option("learn-cosine", "let the learn rate fall to 0 as a cosine", Flag(), False),
    Option(
        "learn-warmup",
        "epochs in which the learn rate grows from 0",
        NOT_NEGATIVE,
        0.0,
        metavar="EPOCHS",
    ),
    Option("learn-decay", "L2 decay of the weights", NOT_NEGATIVE, 0.0),
    Option("learn-decay-all", "let biases and scales decay too", Flag(), False),
    Option(
        "gradient-clip",
        "largest norm of the whole gradient, 0 for any",
        NOT_NEGATIVE,
        0.0,
        metavar="NORM",
    ),
    Option(
        "label-smoothing",
        "share of the target spread over all classes",
        BELOW_ONE,
        0.0,
        metavar="SHARE",
    ),
    Option("cost-factors", "factor of each cost of the network, none for 1", NOT_NEGATIVE, [], "*"),
    Option("skip-layer-updates", "numbers of layers to leave as they are", COUNT, [], "*", "LAYER"),
    Option("test-epochs", "test after every N epochs", COUNT, 1, metavar="N"),
    Option("skip-train", "only test the model on the test set", Flag(), False),
)
OUTPUT = (
    Option("output-prefix", "start of the path of all files written", default="./model"),
    Option("model-format", "format of model files", Choice(("mdl", "mdl.gz")), "mdl"),
    Option("disable-intermediate", "save only the best and the final model", Flag(), False),
    Option(
        "overwrite", "write over the run that the directory holds", Flag(), False, recorded=False
    ),
)


def parser() -> Parser:
    """Return the command line of model-train."""
    return Parser(
        "model-train",
        "Train a network on labelled images.",
        "model-train --border-mode half --model-desc C[128,3] BN A P[2] C[256,3] BN A P.A R \\\n"
        "    --train CIFAR10/train --test CIFAR10/test --ext png --epochs 30 --output-prefix run/a",
        {
            "network": NETWORK,
            "data": DATA,
            "learning": LEARNING,
            "output": OUTPUT,
            "engine": ENGINE,
        },
    )


def train(options: argparse.Namespace) -> int:
    """Train, or with --skip-train only test; print where the results are."""
    from denet.backend.environment import environment
    from denet.train.checkpoint import RunFiles, write_text
    from denet.train.trainer import Trainer

    built = parser()
    if options.skip_train:
        built.require(options, "model", "test")
        return test(options)
    built.require(options, "train")
    settings = train_settings(options)
    RunFiles(settings.output_prefix).check_new(settings.overwrite)  # before all data is read
    backend, precision = engine(options)
    model, train_set = model_and_training_set(options)
    test_set = open_set(options, options.test, model=model) if options.test else None
    trainer = Trainer(model, train_set, test_set, settings, backend, precision)
    options.backend, options.precision = backend.name, precision
    directory = trainer.files.directory
    found = "".join(f"# {name}: {what}\n" for name, what in environment())
    write_text(directory / "run.yaml", built.config_text(options) + found)
    log_to_file(directory / "log.txt")
    log.info(
        "training %s parameters on %s images with %s in %s",
        *(f"{model.parameter_count():,}", f"{len(train_set):,}", backend.name, precision),
    )
    trainer.run()
    print(directory)
    return 0


def test(options: argparse.Namespace) -> int:
    """Print the errors of a model on the test set."""
    from denet.dataset.loader import Loader
    from denet.evaluate.classifier import Classifier
    from denet.model.format import load_model

    backend, precision = engine(options)
    model = load_model(options.model)
    test_set = open_set(options, options.test, model=model)
    loader = Loader(
        test_set,
        min(options.batch_size, len(test_set)),
        model.preprocessing,
        thread_num=options.thread_num,
        shuffle=False,
    )
    classifier = Classifier(model, loader.batch_size, backend, precision)
    print(classifier.errors(loader.epoch(0)).report(model.class_labels), end="")
    return 0


def train_settings(options: argparse.Namespace) -> TrainSettings:
    """Return what the trainer wants to know of the options."""
    from denet.train.settings import TrainSettings

    values = {
        each.name: getattr(options, each.name)
        for each in fields(TrainSettings)
        if each.name != "model_suffix"
    }
    return TrainSettings(model_suffix=f".{options.model_format}", **values)


def model_and_training_set(options: argparse.Namespace) -> tuple[Model, Dataset]:
    """Return the model to train, read or new, and the training set opened for it."""
    from denet.evaluate.classifier import check_fit
    from denet.model.desc import build_layers, parse_desc
    from denet.model.format import load_model
    from denet.model.model import Model, nameless
    from denet.model.preprocessing import Preprocessing

    training = {"max_samples": options.max_samples, "mirror": options.augment_mirror}
    if options.model:
        model = load_model(options.model)
        if model.class_labels != nameless(len(model.class_labels)):
            return model, open_set(options, options.train, model=model, **training)
        train_set = open_set(options, options.train, **training)
        if len(train_set.class_labels) == len(model.class_labels):
            model.class_labels = train_set.class_labels
        check_fit(model, train_set)  # before the test set is read
        return model, train_set
    layers = layer_options(options)
    build_layers(parse_desc(options.model_desc), layers)  # a wrong text ends before data is read
    train_set = open_set(options, options.train, **training)
    statistics = train_set.channel_statistics() if options.normalise == "dataset" else ()
    model = Model.create(
        options.model_desc,
        train_set.shape,
        train_set.class_labels,
        layers,
        options.seed,
        Preprocessing(*statistics),
    )
    return model, train_set


def open_set(
    options: argparse.Namespace, path: str, model: Model | None = None, **settings: Any
) -> Dataset:
    """Open a dataset; with a model, one that has the model's classes and image shape."""
    from denet.dataset import open_dataset

    return open_dataset(
        path,
        options.extension,
        thread_num=options.thread_num,
        class_labels=model.class_labels if model else None,
        shape=model.input_shape if model else None,
        seed=options.seed,
        progress=not options.quiet,
        **settings,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-train; return its exit code."""
    return run(parser(), train, arguments)
