"""model-modify: change the layers, classes or image size of a model file."""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from denet.cli.command import Parser, run
from denet.cli.onnx_file import ONNX, SUFFIX, check_options, write_onnx
from denet.cli.options import (
    CLASS_NUM,
    COUNT_OR_ZERO,
    IMAGE_SIDE,
    LAYER_OPTIONS,
    Option,
    Words,
    layer_options,
    option_names,
    warn,
)
from denet.cli.pixels import imagenet, read_normalise
from denet.errors import DataError, UsageError
from denet.kind import Flag

if TYPE_CHECKING:
    from denet.model.model import Model

log = logging.getLogger(__name__)

FILES = (
    Option(
        "input",
        "model file to read, or weights that PyTorch trained: .pth, .pt, .th, .bin or .safetensors",
        metavar="FILE",
    ),
    Option(
        "output",
        "model file to write: .mdl, .mdl.gz as in 2017, .sqlite3 of ccv, or .onnx for ONNX "
        "Runtime; one that is there is replaced",
        metavar="FILE",
    ),
    Option("half", "write the weights of .sqlite3 as 16-bit floats", Flag(), False),
    Option(
        "model-desc",
        "network of weights that PyTorch trained, where names and shapes of the arrays do not tell "
        "it",
        Words(),
        count="+",
        metavar="LAYER",
    ),
)
CHANGES = (
    Option(
        "class-num",
        "number of classes, which model-train names after those of its training set; the class "
        "layer starts anew where the number changes",
        CLASS_NUM,
        metavar="K",
    ),
    Option(
        "class-labels",
        "names of the classes, one on each line, in the order of the model, as in the .words files "
        "of ccv; a name that stands on several lines gets the number of its class",
        metavar="FILE",
    ),
    Option(
        "image-size", "width and height of the images in pixels", IMAGE_SIDE, None, 2, ("W", "H")
    ),
    Option(
        "normalise",
        "pixels the network sees: less MEAN, divided by DEVIATION (of pixels from 0 to 1; one of "
        "each, or all means of the channels, then all deviations); none leaves 0 to 1, imagenet "
        "stands for the six numbers of ImageNet",
        count="+",
        metavar=("MEAN", "DEVIATION"),
    ),
    Option(
        "activation",
        "function of all layers A and residual blocks, and of new ones",
        metavar="NAME",
    ),
    Option("merge", "train the network in one piece: switch every cut off", Flag(), False),
    Option("use-cudnn-pool", "give pools with partial windows a padding of 1", Flag(), False),
    Option("convert-bn-relu", "make one BNA of every BN followed by a ReLU", Flag(), False),
    Option(
        "modify-bn",
        "switch batch normalisation on (1) or off (0), set its momentum and epsilon",
        count=3,
        metavar=("ENABLED", "MOMENTUM", "EPS"),
    ),
    Option(
        "modify-layer",
        "set fields of the first layer of a type, as in: pool size=3 padding=1 dropout rate=0.2",
        count="+",
        metavar=("TYPE", "NAME=VALUE"),
    ),
    Option("layer-remove", "remove N layers from the end; R is two", COUNT_OR_ZERO, 0, metavar="N"),
    Option(
        "layer-insert",
        "insert layers before layer N (1 is the first; later numbers count what was inserted)",
        count="+",
        metavar="N:LAYER",
    ),
    Option("layer-append", "append layers", count="+", metavar="LAYER"),
)
NEW_LAYERS = (
    Option(
        "border-mode",
        "border of new convolutions: valid, full, half, same or a number of pixels",
        default="half",
        metavar="MODE",
    ),
    next(option for option in LAYER_OPTIONS if option.name == "weight-init"),
)


def parser() -> Parser:
    """Return the command line of model-modify."""
    return Parser(
        "model-modify",
        "Change a model file. Changes are made in the order in which they are listed here.",
        "model-modify --input run/a_best.mdl --output b.mdl --class-num 3 --image-size 64 64",
        {"files": FILES, "changes": CHANGES, "new layers": NEW_LAYERS, "onnx": ONNX},
    )


def modify(options: argparse.Namespace) -> int:
    """Read the model, change it and write it."""
    from denet.model.format import holds_weights, model_suffix, save_model, warn_of_loss

    parser().require(options, "input", "output")
    check_options(options)
    if options.model_desc is not None and not holds_weights(options.input):
        raise UsageError(
            f"--model-desc: {options.input}: a model tells its network itself: change it by "
            "--layer-remove, --layer-insert and --layer-append"
        )
    suffix = SUFFIX if options.output.endswith(SUFFIX) else model_suffix(options.output)
    other = options.half or suffix == ".sqlite3"  # which may hold 16 bits and is to hold 32
    other = other or not options.input.endswith(suffix)
    wanted = [(key, change) for key, change in changes(options) if getattr(options, key)]
    if not wanted and not other:
        names = ", ".join(f"--{option.name}" for option in CHANGES)
        raise UsageError(f"nothing to change: give one or more of {names}")
    makes = options.layer_insert or options.layer_append or holds_weights(options.input)
    why = "there are no new layers: it is for --layer-insert and --layer-append"
    warn(options, NEW_LAYERS, [(not makes, option_names(NEW_LAYERS), why)])
    model = opened(options)
    for name, change in wanted:
        before, model = model, change(model)
        if without_weights(before) == without_weights(model):
            log.info("--%s: the model is so already: nothing changed", name.replace("_", "-"))
    if suffix == SUFFIX:
        write_onnx(model, options)
    else:
        save_model(model, options.output, options.half)
        warn_of_loss(model, options.output)
    log.info("%s: %s", options.output, model.text())
    return 0


def without_weights(model: Model) -> tuple[object, ...]:
    """Return all that an option can change of a model."""
    return model.layers, model.class_labels, model.input_shape, model.preprocessing


def opened(options: argparse.Namespace) -> Model:
    """Return the model of --input, or the one that its weights make."""
    from denet.model.format import holds_weights, load_model, load_weights

    if not holds_weights(options.input):
        return load_model(options.input)
    layers = layer_options(options, activation=options.activation or "relu")
    model = load_weights(options.input, options.model_desc, layers, options.image_size, imagenet())
    if not options.normalise:
        log.info(
            "%s: pixels are taken to be normalised by %s, as those of ImageNet are; --normalise "
            "says another",
            options.input,
            model.preprocessing.text(),
        )
    return model


def changes(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[Model], Model]]]:
    """Yield each option with the change that it asks for, in the order of 2017."""
    from denet.model import surgery

    seed = options.seed
    new = layer_options(options, activation=options.activation or "relu")
    yield "class_num", partial(surgery.set_class_num, classes=options.class_num, seed=seed)
    yield (
        "class_labels",
        lambda model: surgery.set_class_num(
            model, read_class_labels(options.class_labels, len(model.class_labels)), seed
        ),
    )
    size = dict(zip(("width", "height"), options.image_size or (), strict=False))
    yield "image_size", partial(surgery.set_image_size, **size, seed=seed)
    yield (
        "normalise",
        lambda model: surgery.set_preprocessing(
            model, read_normalise(options.normalise, model.input_shape[0])
        ),
    )
    yield "activation", partial(surgery.set_activation, activation=options.activation)
    yield "merge", surgery.merge
    yield "use_cudnn_pool", surgery.use_cudnn_pool
    yield "convert_bn_relu", surgery.convert_bn_relu
    yield "modify_bn", lambda model: surgery.modify_bn(model, *options.modify_bn)
    for type_name, settings in assignments(options.modify_layer or []):
        change = partial(surgery.modify_layer, type_name=type_name, settings=settings)
        yield "modify_layer", change
    yield "layer_remove", partial(surgery.remove, count=options.layer_remove)
    for number, text in insertions(options.layer_insert or []):
        insert = partial(surgery.insert, number=number, text=text, options=new, seed=seed)
        yield "layer_insert", insert
    text = " ".join(options.layer_append or [])
    yield "layer_append", partial(surgery.append, text=text, options=new, seed=seed)


def read_class_labels(file: str, class_num: int) -> list[str]:
    """Return the names that stand in a file, made to differ by the numbers of their classes.

    Raises DataError unless there are so many, and each can be shown in a line.
    """
    from denet.dataset.annotation_file import read_lines
    from denet.dataset.class_names import names_text
    from denet.model.format.content import check_labels

    names = read_lines(file)
    if len(names) != class_num:
        raise DataError(
            f"class labels: {file}: {len(names)} names for {class_num} classes: give each class "
            "one line, in the order of the model"
        )
    times = Counter(names)
    labels = [
        f"{name} ({number})" if times[name] > 1 else name for number, name in enumerate(names, 1)
    ]
    if twice := [label for label, name in zip(labels, names, strict=True) if label != name]:
        log.warning("%s: names that stand on several lines: %s", file, names_text(twice))
    check_labels(labels, file)
    return labels


def assignments(words: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return (layer type, {field: text}) of each ``TYPE NAME=VALUE ...``; raise UsageError."""
    found: list[tuple[str, dict[str, str]]] = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            found.append((name, {}))
        elif found:
            found[-1][1][name] = text
        else:
            raise UsageError(f"--modify-layer: {word!r}: write the type first: TYPE NAME=VALUE")
    for type_name, settings in found:
        if not settings:
            raise UsageError(f"--modify-layer {type_name}: nothing to set: write NAME=VALUE")
    return found


def insertions(words: Sequence[str]) -> list[tuple[int, str]]:
    """Return (layer number, network text) of each ``N:LAYER [LAYER ...]``; raise UsageError."""
    found: list[tuple[int, str]] = []
    for word in " ".join(words).split():
        start = re.fullmatch(r"(\d{1,9}):(.+)", word)
        if start:
            found.append((int(start[1]), start[2]))
        elif found:
            number, text = found[-1]
            found[-1] = number, f"{text} {word}"
        else:
            raise UsageError(f"--layer-insert: {word!r}: write N:LAYER, as in 11:SKIPSRC.X[0]")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-modify; return its exit code."""
    return run(parser(), modify, arguments)
