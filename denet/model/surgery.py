"""Changes to a finished model: layers put in, taken out or set anew, the weights kept.

Every function returns a new model and leaves the given one as it is; arrays that stay are shared
by the two. The changed network is built once, so that shapes which do not fit are told at once
(DescriptionError, UsageError). New layers start by their own rules from ``seed``. A class
convolution that no longer fits (other classes, other map) starts anew too, and so do the
convolutions of a DND (other classes, joint fitness), with a note in the log; every other layer
must go on fitting its weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from denet.errors import UsageError, nearest_hint
from denet.layer.activation import ActivationLayer
from denet.layer.base import Layer
from denet.layer.batch_norm import BatchNormalisation
from denet.layer.batch_norm_relu import BatchNormalisationRelu
from denet.layer.class_convolution import ClassConvolution
from denet.layer.denet_detect import DenetDetect
from denet.layer.dense import DenseLayer
from denet.layer.options import LayerOptions
from denet.layer.pool import Pooling
from denet.layer.residual import Residual
from denet.layer.skip_source import SkipSource
from denet.layer.split import Split
from denet.layer.transition import Transition
from denet.model.desc import build_layers, parse_desc
from denet.model.model import Model, nameless
from denet.model.preprocessing import Preprocessing

BLOCKS = (Residual, DenseLayer, Transition)  # with activations and normalisations of their own

Part = tuple[Layer, dict[str, np.ndarray] | None]  # a layer and its arrays; None if it is new

log = logging.getLogger(__name__)

# attributes that model-modify --modify-layer set in 2017, and the fields that they are here
FIELDS_OF_2017 = {
    "dropout_rate": "rate",
    "flip_pr": "flip",
    "has_split": "split",
    "indfit_factor": "fitness_factor",
    "mirror_pr": "mirror",
    "skip_index": "index",
    "use_bounded_iou": "bounded_iou",
    "use_jointfit": "joint_fitness",
}


def insert(
    model: Model, number: int, text: str, options: LayerOptions | None = None, seed: int = 0
) -> Model:
    """Put the layers of a network text before layer ``number``; 1 is the first layer."""
    parts = parts_of(model)
    if not 1 <= number <= len(parts) + 1:
        raise UsageError(
            f"cannot insert at layer {number}: {text}: the model has {len(parts)} layers; "
            f"give a number from 1 to {len(parts) + 1}"
        )
    new: list[Part] = [(layer, None) for layer in build_layers(parse_desc(text), options)]
    return rebuilt(model, [*parts[: number - 1], *new, *parts[number - 1 :]], seed)


def append(model: Model, text: str, options: LayerOptions | None = None, seed: int = 0) -> Model:
    """Put the layers of a network text behind the last layer."""
    return insert(model, len(model.layers) + 1, text, options, seed)


def remove(model: Model, count: int) -> Model:
    """Take ``count`` layers away from the end; R counts as two."""
    left = len(model.layers) - count
    if not 1 <= left <= len(model.layers):
        raise UsageError(
            f"cannot remove {count} layers: give a number from 0 to {len(model.layers) - 1}"
        )
    return rebuilt(model, parts_of(model)[:left])


def set_class_num(model: Model, classes: int | Sequence[str], seed: int = 0) -> Model:
    """Give the model these class labels; a number stands for so many nameless classes.

    The class convolution and DND keep their weights if the number of classes is the same.
    """
    if isinstance(classes, int):
        classes = nameless(classes)
    if not classes or len(set(classes)) < len(classes):
        raise UsageError("class labels: there must be one at least, and none twice")
    return rebuilt(replace(model, class_labels=list(classes)), parts_of(model), seed)


def set_image_size(model: Model, width: int, height: int, seed: int = 0) -> Model:
    """Let the model take images of this size in pixels."""
    if min(width, height) < 1:
        raise UsageError(f"image size: must be at least 1 by 1 pixels; got {width} by {height}")
    shape = (model.input_shape[0], height, width)
    preprocessing = model.preprocessing.resized(model.input_shape, shape)
    larger = replace(model, input_shape=shape, preprocessing=preprocessing)
    return rebuilt(larger, parts_of(model), seed)


def set_preprocessing(model: Model, preprocessing: Preprocessing) -> Model:
    """Let the model normalise pixels so."""
    preprocessing.check(model.input_shape)
    return replace(model, preprocessing=preprocessing)


def set_activation(model: Model, activation: str) -> Model:
    """Set the function of all activation layers, those in blocks too."""
    settings = {"activation": activation}
    return each_layer(model, lambda layer: with_fields(layer, (ActivationLayer, *BLOCKS), settings))


def merge(model: Model) -> Model:
    """Train the network in one piece: no SPLIT cuts it, and no SKIPSRC."""

    def change(layer: Layer) -> Layer:
        layer = with_fields(layer, (Split,), {"enabled": "false"})
        return with_fields(layer, (SkipSource,), {"split": "false"})

    return each_layer(model, change)


def use_cudnn_pool(model: Model) -> Model:
    """Give pools with partial windows one cell of padding instead, as cuDNN needs it."""

    def change(layer: Layer) -> Layer:
        if isinstance(layer, Pooling) and layer.partial and layer.size:
            return replace(layer, padding=1, partial=False)
        return layer

    return each_layer(model, change)


def modify_bn(
    model: Model, enabled: bool | int | str, momentum: float | str, eps: float | str
) -> Model:
    """Set all batch normalisations, BNA and those in blocks too.

    Values may be text; ``enabled`` is a bool, 0 or 1. One that is switched off loses its arrays.
    """
    settings = {"enabled": str(enabled), "momentum": str(momentum), "eps": str(eps)}
    in_block = {f"bn_{name}": text for name, text in settings.items()}

    def change(layer: Layer) -> Layer:
        layer = with_fields(layer, (BatchNormalisation, BatchNormalisationRelu), settings)
        return with_fields(layer, BLOCKS, in_block)

    return each_layer(model, change)


def convert_bn_relu(model: Model) -> Model:
    """Make one BNA of each BN followed by a ReLU; the network computes the same.

    Blocks stay as they are: their pairs are fused when the network is planned, and
    ``bn_relu`` would change what a residual block without the tag O computes.
    """
    parts = parts_of(model)
    for number in reversed(range(len(parts) - 1)):
        (layer, arrays), (following, _) = parts[number : number + 2]
        if (
            isinstance(layer, BatchNormalisation)
            and isinstance(following, ActivationLayer)
            and following.activation == "relu"
        ):
            fused = BatchNormalisationRelu(
                momentum=layer.momentum, eps=layer.eps, enabled=layer.enabled
            )
            parts[number : number + 2] = [(fused, arrays)]
    return rebuilt(model, parts)


def modify_layer(model: Model, type_name: str, settings: Mapping[str, str]) -> Model:
    """Set fields, given as text by name or the name of 2017, of the FIRST layer of this type."""
    present = [layer.type_name for layer in model.layers]
    if type_name not in present:
        known = sorted(set(present))
        raise UsageError(
            f"cannot modify layer {type_name!r}: the model has none"
            f"{nearest_hint(type_name, known)}; it has {', '.join(known)}"
        )
    parts = parts_of(model)
    place = present.index(type_name)
    layer, arrays = parts[place]
    named = {FIELDS_OF_2017.get(name, name): text for name, text in settings.items()}
    parts[place] = with_fields(layer, (Layer,), named), arrays
    return rebuilt(model, parts)


def with_fields(layer: Layer, types: tuple[type[Layer], ...], settings: Mapping[str, str]) -> Layer:
    """Return the layer with these fields set from text, if it is one of these types."""
    if isinstance(layer, types):
        for name, text in settings.items():
            layer = layer.modified(name, text)
    return layer


def each_layer(model: Model, change: Callable[[Layer], Layer]) -> Model:
    """Return the model with every layer changed by a function."""
    return rebuilt(model, [(change(layer), arrays) for layer, arrays in parts_of(model)])


def parts_of(model: Model) -> list[Part]:
    """Return the layers of a model with their arrays."""
    return list(zip(model.layers, model.parameters, strict=True))


def rebuilt(model: Model, parts: Sequence[Part], seed: int = 0) -> Model:
    """Return the model made of these parts; arrays that it lacks are drawn from ``seed``."""
    result = replace(model, layers=[layer for layer, _ in parts], parameters=[])
    held = [arrays or {} for _, arrays in parts]
    needed = [{name: tensor.shape for name, tensor in own.items()} for own in result.tensors()]
    if needed == [{name: array.shape for name, array in own.items()} for own in held]:
        result.parameters = held
    else:
        result.initialise(seed)
        drawn = enumerate(zip(parts, result.parameters, strict=True), 1)
        result.parameters = [kept(number, part, new) for number, (part, new) in drawn]
    return result


def kept(number: int, part: Part, drawn: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of layer ``number``: its own ones as far as they fit, else drawn ones."""
    layer, own = part
    if own is None:
        return drawn
    title = f"layer {number} ({layer.type_name})"
    for name, new in drawn.items():
        if name in own and own[name].shape != new.shape:
            change = f"{name} was {list(own[name].shape)}, the network needs {list(new.shape)}"
            if not isinstance(layer, ClassConvolution | DenetDetect):
                raise UsageError(
                    f"{title} no longer fits: {change}: keep its channels and size, or remove the "
                    "layers from here on and append new ones"
                )
            log.warning("%s starts anew: %s", title, change)
            return drawn
    if own.keys() != drawn.keys():
        for what, names in (
            ("starts anew", drawn.keys() - own.keys()),
            ("dropped", own.keys() - drawn.keys()),
        ):
            if names:
                log.warning("%s: %s: %s", title, what, ", ".join(sorted(names)))
    return {name: own.get(name, new) for name, new in drawn.items()}
