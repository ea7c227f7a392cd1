"""What slides over images that are larger than a classifier's input, of any shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from denet.errors import DescriptionError
from denet.graph.graph import Graph, Tensor
from denet.graph.op.base import Op
from denet.graph.op.conv import Conv
from denet.graph.op.crop import Crop
from denet.graph.op.deconv import Deconv
from denet.graph.op.pool import Pool
from denet.graph.op.pool_inverse import PoolInverse
from denet.layer.activation import ActivationLayer
from denet.layer.base import Layer
from denet.layer.batch_norm import BatchNormalisation
from denet.layer.batch_norm_relu import BatchNormalisationRelu
from denet.layer.class_convolution import ClassConvolution
from denet.layer.crop_mirror import CropAndMirror
from denet.layer.dropout import DropoutLayer
from denet.layer.full import FullyConnected
from denet.layer.local_response import LocalResponseNormalisation
from denet.layer.skip import Skip
from denet.layer.skip_source import SkipSource
from denet.layer.split import Split
from denet.model.dense import fully_convolutional
from denet.model.model import Model
from denet.model.preprocessing import Preprocessing

FEATURES = "features"  # the output of a network's first part
# a window of what these give is what they give of a window
POINTWISE = (
    ActivationLayer,
    BatchNormalisation,
    BatchNormalisationRelu,
    DropoutLayer,
    LocalResponseNormalisation,
    Split,
)
CONNECTED = (FullyConnected, ClassConvolution)
Pair = tuple[int, int]


@dataclass(frozen=True)
class Sliding:
    """A classifier, or its part up to the last convolution, for images larger than its input.

    model  what slides, made for the size that the classifier was made for
    head   what gives the class probabilities of a window of its map, as large as that is for that
           size; None where the whole classifier slides and gives the mean over all positions
    steps  by how many columns and rows an image grows for each map to grow by whole cells
    """

    model: Model
    head: Model | None
    steps: Pair
    _cells: dict[Pair, Pair] = field(default_factory=dict, repr=False)

    def at(self, width: int, height: int) -> Model:
        """Return the model for images of this size, its weights shared."""
        return fully_convolutional(self.model, width, height)

    def trimmed(self, size: Pair) -> Pair:
        """Return the (width, height) of the middle of a larger image that makes its last map.

        That is of the model's own size and whole steps, as in ccv: 225 + 16 n. Where the windows do
        not end with the model's own size, the rest may make one more cell; then it is all of it.
        """
        _, height, width = self.model.input_shape
        columns = width + (size[0] - width) // self.steps[0] * self.steps[0]
        rows = height + (size[1] - height) // self.steps[1] * self.steps[1]
        if self._last_map(size[0], height)[0] > self._last_map(columns, height)[0]:
            columns = size[0]
        if self._last_map(width, size[1])[1] > self._last_map(width, rows)[1]:
            rows = size[1]
        return columns, rows

    def _last_map(self, width: int, height: int) -> Pair:
        """Return the (columns, rows) of the last map of an image; none where maps do not fit."""
        if (width, height) not in self._cells:
            try:
                rows, columns, _ = self.at(width, height).input_maps()[-1]
            except DescriptionError:
                rows = columns = 0
            self._cells[width, height] = columns, rows
        return self._cells[width, height]


def slide(model: Model, windows: bool) -> Sliding:
    """Return what slides of a classifier: the part up to its last convolution, or all of it.

    The first is for ``windows`` of the map there (ccv). Raises DescriptionError where it cannot.
    """
    for number, layer in enumerate(model.layers, 1):
        if isinstance(layer, CropAndMirror):
            raise DescriptionError(
                f'layer {number} "{model.token(number)}": it cuts the middle out of every image, '
                "and nothing can slide over more: take views of pixels (alex10), or remove it "
                "with model-modify --layer-remove"
            )
    if not windows:
        return Sliding(model, None, steps(model))
    count = trunk_length(model)
    trunk = replace(
        model,
        layers=[*model.layers[:count], FeatureMap()],
        parameters=[*model.parameters[:count], {}],
    )
    _, height, width, channels = trunk.graph(1).outputs[FEATURES].shape
    head = replace(
        model,
        layers=model.layers[count:],
        parameters=model.parameters[count:],
        input_shape=(channels, height, width),
        preprocessing=Preprocessing(),
    )
    return Sliding(trunk, head, steps(trunk))


class FeatureMap(Layer):
    """The end of a network's first part: hands its map out, in float32."""

    type_name = "feature-map"

    def build(self, graph: Graph, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        y: Tensor = graph.apply(Crop(0, 0, height, width, dtype="float32"), x)
        graph.output(FEATURES, y)
        return y


def trunk_length(model: Model) -> int:
    """Return the number of layers up to the last convolution, 0 without one.

    F and R are none. Layers behind it that work on each position alone go with it, and so does
    what leads to a SKIP of a map marked before.
    """
    convolving = {
        int(node.name.partition(".")[0])
        for node in model.graph(1).nodes
        if isinstance(node.op, Conv | Deconv)
    }
    count = 0
    marked: dict[int, int] = {}
    for number, layer in enumerate(model.layers, 1):
        if isinstance(layer, SkipSource):
            marked[layer.index] = number
        crosses = isinstance(layer, Skip) and marked[layer.index] <= count
        alone = isinstance(layer, POINTWISE) and number == count + 1
        convolves = number in convolving and not isinstance(layer, CONNECTED)
        if crosses or alone or convolves:
            count = number
    return count


def steps(model: Model) -> Pair:
    """Return by how many columns and rows an image grows for each map to grow by whole cells.

    That is the least common multiple of the strides from the input to each map.
    """
    _, height, width = model.input_shape
    graph = fully_convolutional(model, width, height).graph(1)
    pixels = {graph.inputs["data"]: (Fraction(1), Fraction(1))}  # down and right, between cells
    for node in graph.nodes:
        before = next((pixels[each] for each in node.inputs if each in pixels), None)
        if before:
            down, right = (one * other for one, other in zip(before, _stride(node.op), strict=True))
            pixels |= dict.fromkeys(node.outputs, (down, right))
    rows, columns = zip(*pixels.values(), strict=True)
    return math.lcm(*(x.numerator for x in columns)), math.lcm(*(x.numerator for x in rows))


def _stride(op: Op) -> tuple[Fraction, Fraction]:
    match op:
        case Conv() | Pool():
            return Fraction(op.stride[0]), Fraction(op.stride[1])
        case Deconv():
            return Fraction(1, op.stride[0]), Fraction(1, op.stride[1])
        case PoolInverse():
            return Fraction(1, op.size), Fraction(1, op.size)
    return Fraction(1), Fraction(1)
