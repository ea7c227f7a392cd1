"""A classifier made fully convolutional: it takes larger images than it was trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denet.layer.base import Layer
from denet.layer.class_convolution import ClassConvolution
from denet.layer.convolution import Convolution
from denet.layer.full import FullyConnected
from denet.layer.pool import Pooling
from denet.layer.regression import Regression
from denet.model.model import Model, Shape


def fully_convolutional(model: Model, width: int, height: int) -> Model:
    """Return the model for images of this size in pixels, its weights shared with the given one.

    F, R and P without a size saw their whole map; now they are windows of the size that it had,
    slid by one cell, and the class probability is the mean over all positions (Sermanet et al.
    2013, OverFeat, section 3.5; Simonyan and Zisserman 2014, section 3.2). A mean image that is
    smaller than the new input grows to its size. Raises DescriptionError where nothing fits.
    """
    maps = model.input_maps()
    layers = [_slid(layer, h, w) for layer, (h, w, _) in zip(model.layers, maps, strict=True)]
    shape: Shape = (model.input_shape[0], height, width)
    preprocessing = model.preprocessing
    if (image := preprocessing.mean_image) is not None:
        before = model.input_shape[0], image.shape[0], image.shape[1]
        rows, columns = np.maximum(image.shape[:2], (height, width)).tolist()
        preprocessing = preprocessing.resized(before, (shape[0], rows, columns))
    dense = replace(model, layers=layers, input_shape=shape, preprocessing=preprocessing)
    dense.graph(1)  # which fails here if it does
    return dense


def _slid(layer: Layer, height: int, width: int) -> Layer:
    """Return what does to each part of this size what the layer does to a whole map of it."""
    match layer:
        case FullyConnected():
            return Convolution(
                filters=layer.filters,
                size=(height, width),
                bias_start=layer.bias_start,
                bias=layer.bias,
                border_mode="valid",
                weight_init=layer.weight_init,
            )
        case ClassConvolution(size=None):
            return replace(layer, size=(height, width))
        case Pooling(size=None):
            return replace(layer, size=(height, width), stride=(1, 1))
        case Regression() if (height, width) == (1, 1):
            return replace(layer, centre=False)
    return layer
