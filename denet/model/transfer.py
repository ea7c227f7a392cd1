"""Weights of one model taken over into another, as far as they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from denet.model.model import Model

SHOWN_LAYERS = 5  # of each kind; the others are counted


@dataclass(frozen=True)
class Transfer:
    """What became of the arrays of the model and of its source, by path ("1.conv.weight")."""

    loaded: list[str]  # path and shape agree
    skipped: dict[str, str]  # the shape differs; both shapes in words
    new: list[str]  # only in the model
    unused: list[str]  # only in the source

    def text(self) -> str:
        """Return it in words, layer by layer; of many layers the first ones."""
        count = len(self.loaded) + len(self.skipped) + len(self.new)
        parts = (
            ("skipped (shape differs)", self.skipped),
            ("new", self.new),
            ("in the file only", self.unused),
        )
        listed = [f"{what}: {_layers(paths, self.skipped)}" for what, paths in parts if paths]
        return "; ".join([f"{len(self.loaded)} of {count} arrays loaded", *listed])


def transfer(model: Model, source: Model) -> Transfer:
    """Copy the parameters and running statistics of ``source`` that fit into ``model``.

    Those fit that have the same path and the same shape; the others stay as they are.
    """
    own, given = model.values(), source.values()
    both = [path for path in own if path in given]
    loaded = [path for path in both if own[path].shape == given[path].shape]
    skipped = {
        path: f"{_shape(own[path])} here, {_shape(given[path])} in the file"
        for path in both
        if own[path].shape != given[path].shape
    }
    model.set_values(own | {path: given[path] for path in loaded})
    new = [path for path in own if path not in given]
    return Transfer(loaded, skipped, new, [path for path in given if path not in own])


def _layers(paths: Iterable[str], shapes: Mapping[str, str]) -> str:
    layers = [_layer(list(own), shapes) for _, own in groupby(paths, _layer_of)]
    more = len(layers) - SHOWN_LAYERS
    return ", ".join(layers[:SHOWN_LAYERS]) + (f" and {more} more layers" if more > 0 else "")


def _layer(paths: list[str], shapes: Mapping[str, str]) -> str:
    """Name the arrays of one layer."""
    first, count = paths[0], len(paths)
    if first in shapes:
        more = f" (and {count - 1} more of its layer)" if count > 1 else ""
        return f"{first} {shapes[first]}{more}"
    return first if count == 1 else f"{_layer_of(first)} ({count} arrays)"


def _layer_of(path: str) -> str:
    """Return the layer of an array: "5.resnet" of "5.resnet.conv1.weight"."""
    return ".".join(path.split(".")[:2])


def _shape(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
